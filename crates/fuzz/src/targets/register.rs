//! The register as it is stored: whoever can write the journal's folder or bucket can write this.

use std::sync::LazyLock;

use dizzy_engine::{Capability, DatabasePlan, Plan, StorePlan, Strategy};
use dizzy_host::{
    config::{self, RotationSet},
    register::Document,
};

use super::{Target, kind_of};

pub(super) const TARGET: Target = Target {
    name: "register",
    deep: "fits: true",
    run,
    words: &[
        "\"v\"",
        "\"set\"",
        "\"phase\"",
        "\"was\"",
        "\"idle\"",
        "\"intent\"",
        "\"commit\"",
        "\"abort\"",
        "\"stuck\"",
        "\"maybe\"",
        "\"known\"",
        "\"live\"",
        "\"kept\"",
        "\"stores\"",
        "null",
        "18446744073709551615",
        "-9223372036854775808",
        "0000000000000001-1",
        "[1,2,3]",
        "true",
        "{}",
    ],
};

/// The set that the seeds belong to.
static SET: LazyLock<Option<RotationSet>> = LazyLock::new(|| {
    let text = include_str!("../../../../examples/two-clouds.toml");
    config::parse("two-clouds.toml", text).ok()?.set("orders").ok().cloned()
});

fn run(data: &[u8]) -> String {
    let document = match Document::parse(data, "orders") {
        Ok(document) => document,
        Err(error) => return kind_of(&error.to_string()),
    };
    let again = Document::parse(&document.to_bytes(), "orders");
    assert_eq!(again.as_ref(), Ok(&document), "a register reads back as it was written");
    let Some(set) = SET.as_ref() else { return "no set".to_owned() };
    let register = match document.to_engine(set) {
        Ok(register) => register,
        Err(error) => return format!("read, then {}", kind_of(&error.to_string())),
    };
    let database = |capability| DatabasePlan::new(Strategy::Alternating, capability);
    let databases = vec![database(Capability::RowFence), database(Capability::StatementCas)];
    let plan = Plan::new(databases, vec![StorePlan { announce: false }; set.secrets.len()]);
    let written = document.with_engine(set, &plan, &register, "fuzz");
    assert_eq!(written.to_engine(set), Ok(register.clone()), "what the engine decides over survives the register");
    format!("{:?} after {:?}, fits: {}", register.phase, register.was, register.fits(&plan))
}
