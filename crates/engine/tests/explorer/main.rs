//! Exhaustive exploration of the real engine. See `world.rs` for the world, `search.rs` for the search, `switches.rs` for what must fail.

mod search;
mod switches;
mod world;

use dizzy_engine::{Capability::*, Strategy::*};
use search::search;
use world::{Bounds, plan_of};

#[test]
fn smoke() {
    let kinds = [
        ("alt_e", (Alternating, RowFence)),
        ("alt_s", (Alternating, StatementCas)),
        ("single_e", (Single, RowFence)),
        ("single_s", (Single, StatementCas)),
        ("roll", (Rollover, StatementCas)),
    ];
    let pick = std::env::args().skip_while(|a| a != "--").nth(1);
    let _ = pick;
    for (i, a) in kinds.iter().enumerate() {
        for b in &kinds[i..] {
            if a.0 == "roll" && b.0 == "roll" {
                continue;
            }
            let bounds = Bounds {
                name: format!("{}+{}", a.0, b.0),
                plan: plan_of([a.1, b.1], false),
                workers: 2,
                last: 2,
                delayed: false,
                stale: false,
                refusals: false,
                late_refusals: false,
                expiry: false,
                switch: None,
            };
            let t = std::time::SystemTime::now();
            let found = search(&bounds, 3_000_000);
            println!("{:24} {} {:?}", bounds.name, found.summary(), t.elapsed().unwrap());
            for (k, (_, trace)) in &found.broken {
                println!("  {k}");
                for l in trace {
                    println!("      {l}");
                }
            }
        }
    }
}
