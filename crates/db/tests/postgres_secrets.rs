//! No password in the server's log, in what the adapter says, or in this process's environment. The scan finds a planted one first.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::{User, World, database, single, soon, stamp};
use dizzy_host::port::{Change, ChangeKind::Alternating, Database as _};
use dizzy_sandbox::{CutProxy, Loss};

const CANARIES: [&str; 4] = ["canary-a0-7c1e", "canary-b0-93f2", "canary-b1-d4a8", "canary-a2-55b6"];

fn found(text: &str) -> Vec<&'static str> {
    CANARIES.into_iter().filter(|canary| text.contains(canary)).collect()
}

#[tokio::test]
async fn no_password_reaches_the_servers_log_or_any_message() {
    let [a0, b0, b1, a2] = CANARIES;
    let world = World::start();
    let (a, b) = (world.user("a", a0), User::new("b", b0));
    let mut said = String::new();
    let mut say = |thing: &dyn std::fmt::Debug| said.push_str(&format!("{thing:?}\n"));

    say(&world.db.prepare_sql(&["a", "b"], stamp(0, 0)));
    say(&world.db.prepare(world.admin.login(), &["a", "b"], Some(b.login()), stamp(0, 0), soon()).await);
    let b = world.change(&b, b1, stamp(1, 1), Alternating).await.unwrap();
    let new = a.with(a2);
    let change = Change { login: a.login(), new: &new.password, stamp: stamp(2, 2), kind: single(0) };
    world.db.vote(change, soon()).await.unwrap().commit(soon()).await.unwrap();
    // Every way to fail, with passwords at hand.
    say(&world.db.apply(change, soon()).await);
    say(&world.change(&b, a2, stamp(0, 0), Alternating).await);
    say(&world.db.burn(b.login(), stamp(9, 9), soon()).await);
    say(&world.db.inspect(b.login(), &["a", "b"], stamp(9, 9), soon()).await);
    world.server.psql("DROP FUNCTION dizzy.stamp").unwrap();
    say(&world.change(&b, a2, stamp(9, 9), Alternating).await);
    let proxy = CutProxy::start(world.server.port()).unwrap();
    proxy.lose_replies(Loss::HangUp);
    let through = database(&world.server, "localhost", proxy.port());
    say(&through.apply(Change { login: b.login(), ..change }, soon()).await);
    say(&(&a, &b, &new));
    assert!(said.contains("Fenced") && said.contains("FenceMissing") && said.contains("Unreachable"), "{said}");

    let log = world.server.log_text().unwrap();
    assert!(log.contains("ALTER ROLE \"b\" PASSWORD"), "the log holds the statements");
    assert_eq!(found(&log), Vec::<&str>::new());
    assert_eq!(found(&said), Vec::<&str>::new());
    let environment = std::fs::read("/proc/self/environ").unwrap();
    assert_eq!(found(&String::from_utf8_lossy(&environment)), Vec::<&str>::new());

    // The scan sees what is there to be seen.
    world.server.psql(&format!("ALTER ROLE b PASSWORD '{b1}'")).unwrap();
    assert_eq!(found(&world.server.log_text().unwrap()), vec![b1]);
}
