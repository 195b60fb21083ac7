//! `notify test`: one notice to every receiver, and what became of it.

use dizzy_host::{
    config,
    notice::{Event, Notice},
};

use super::{
    notices::{notice_id, tried},
    with_set::{block_on, ready},
};
use crate::{
    args::{Global, NotifyCommand},
    code::{Code, Exit},
    compose::Composer,
    render::notify::{NotifyReport, NotifyRow},
    report::{NOTHING_DONE, Report},
};

pub(super) fn run(global: &Global, command: &NotifyCommand) -> Result<Exit, Report> {
    let NotifyCommand::Test = command;
    let config = config::load(&global.config)?;
    ready(&config)?;
    let composer = Composer::new(config);
    block_on(async { test(&composer).await?.conclude(global.output) })
}

async fn test(composer: &Composer) -> Result<NotifyReport, Report> {
    let receivers = composer.receivers();
    if receivers.is_empty() {
        return Err(Report::new(Code::ConfigValue, "notify: the configuration names no receiver", NOTHING_DONE)
            .hint("add [[notify.receivers]] with `webhook` (a secret reference) or `topic` (an ARN or OCID)"));
    }
    let id = notice_id().map_err(|error| Report::new(Code::Internal, error.to_string(), NOTHING_DONE))?;
    let notice = Notice {
        id,
        event: Event::Test,
        set: String::new(),
        code: None,
        what: "somebody tries whether notices of dizzy-keys arrive here".to_owned(),
        state: None,
        next: None,
        exit: Exit::Done.number(),
        generation: None,
        rotation: None,
        time: composer.clock().now(),
        trace: None,
    };
    let mut rows = Vec::new();
    for wired in &receivers {
        let error = tried(wired, &notice).await.err();
        let on = wired.on.iter().map(|event| event.word()).collect();
        rows.push(NotifyRow { receiver: wired.name.clone(), on, delivered: error.is_none(), error });
    }
    Ok(NotifyReport { receivers: rows })
}
