//! `audit heartbeat` and `audit key rotate`: the two records that a person or a timer asks for.

use std::sync::Arc;

use dizzy_audit::UNSIGNED;
use dizzy_host::{
    audit::{Aside, Desk, TrailPlan},
    port::{PortResult, SystemRandomness},
};

use super::super::{
    confirm::confirm,
    with_set::{block_on, composer},
};
use crate::{
    args::{Global, KeyRotate, Sets},
    code::{Code, Exit, Port},
    compose::Composer,
    render,
    report::{NOTHING_DONE, Report},
};

pub(super) fn heartbeat(global: &Global, args: &Sets) -> Result<Exit, Report> {
    let (composer, sets) = composer(global, &args.sets)?;
    block_on(async {
        let plan = composer.trail().await?;
        let mut worst = None;
        for set in &sets {
            match record(&composer, &plan, set, Aside::Heartbeat).await {
                Ok(()) => render::print(format!("{set}: alive\n").as_bytes())?,
                Err(report) => {
                    report.tell(global.output);
                    worst = worst.max(Some(report.exit_code()));
                }
            }
        }
        Ok(worst.unwrap_or(Exit::Done))
    })
}

async fn record(composer: &Composer, plan: &Arc<TrailPlan>, set: &str, aside: Aside<'_>) -> Result<(), Report> {
    let held = composer.hold(set).await?;
    let done = recorded(composer, plan, set, aside).await?;
    drop(held);
    done.map_err(|error| Report::of_port(Port::Audit, set, &error, NOTHING_DONE))
}

/// Records for a set that this process holds.
pub(in crate::run) async fn recorded(
    composer: &Composer,
    plan: &Arc<TrailPlan>,
    set: &str,
    aside: Aside<'_>,
) -> Result<PortResult<()>, Report> {
    let journal = composer.journal()?;
    let desk = Desk {
        journal: &*journal,
        plan,
        clock: &**composer.clock(),
        randomness: &SystemRandomness,
        call: composer.limits().call,
    };
    Ok(desk.record(set, aside).await)
}

pub(super) fn rotate_key(global: &Global, args: &KeyRotate) -> Result<Exit, Report> {
    let (composer, sets) = composer(global, &args.sets.sets)?;
    let audit = &composer.config().audit;
    let Some(reference) = audit.key.clone() else {
        return Err(Report::new(Code::ConfigValue, "there is no `audit.key` to hand over to", NOTHING_DONE)
            .hint("put the next key's reference into `audit.key` and the present one's into `audit.former_keys`"));
    };
    block_on(async {
        let unreadable = |error| Report::of_port(Port::Reference, &reference.to_string(), &error, NOTHING_DONE);
        let next = composer.audit_key(&reference).await.map_err(unreadable)?;
        let mut former = Vec::new();
        for reference in &composer.config().audit.former_keys {
            let key = composer.audit_key(reference).await;
            let key =
                key.map_err(|error| Report::of_port(Port::Reference, &reference.to_string(), &error, NOTHING_DONE));
            former.push(Arc::new(key?));
        }
        let plan = composer.trail().await?;
        let journal = composer.journal()?;
        for set in &sets {
            let desk = Desk {
                journal: &*journal,
                plan: &plan,
                clock: &**composer.clock(),
                randomness: &SystemRandomness,
                call: composer.limits().call,
            };
            let document = desk.register(set).await;
            let document = document.map_err(|error| Report::of_port(Port::Journal, set, &error, NOTHING_DONE))?;
            let in_force = document.and_then(|document| document.audit?.head().kid());
            let told = match in_force {
                None => "no record yet: the first one is signed with the present key".to_owned(),
                Some(kid) if kid == next.root.kid() => format!("signed with {kid} already"),
                Some(kid) if args.former_key_lost => {
                    if former.iter().any(|key| key.root.kid() == kid) {
                        let what = format!("{set}: the key {kid} is not lost: it is in `audit.former_keys`");
                        return Err(Report::new(Code::Usage, what, NOTHING_DONE)
                            .hint("hand over with both signatures: leave out `--former-key-lost`"));
                    }
                    confirm(
                        global,
                        &format!(
                            "{set}: go on without the signature of the lost key {kid}? `audit verify` will tell of it for ever."
                        ),
                    )?;
                    record(&composer, &plan, set, Aside::FormerKeyLost).await?;
                    format!("{} signs from here on; the key {kid} was declared lost", next.root.kid())
                }
                Some(kid) => {
                    let old = former.iter().find(|key| key.root.kid() == kid).cloned();
                    if old.is_none() && kid != UNSIGNED {
                        let what = format!("{set}: the trail is signed with the key {kid}, which is not at hand");
                        return Err(Report::new(Code::AuditUnavailable, what, NOTHING_DONE)
                            .hint("add its reference to `audit.former_keys`; if nobody has it any more: docs/runbooks/lost-audit-key.md"));
                    }
                    let plan = Arc::new(TrailPlan { key: Ok(old), ..Composer::trail_without_key(&plan) });
                    record(&composer, &plan, set, Aside::HandOver(&next.root)).await?;
                    format!("handed over from {kid} to {}", next.root.kid())
                }
            };
            render::print(format!("{set}: {told}\n").as_bytes())?;
        }
        Ok(Exit::Done)
    })
}
