//! The driver's connection on a thread of its own: it blocks, and it may panic.
//!
//! The thread runs one job after the other and ends when nobody can send it jobs any more. A panic ends as an error of its job. Nobody waits
//! for the thread: whoever gives up cuts the bridge, which ends whatever the driver waits for, and the thread ends by itself.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
};

use oracledb::Connection;
use tokio::sync::oneshot;

use crate::trouble::Trouble;

/// The thread's connection, once there is one.
pub(crate) type Slot = Option<Connection>;

type Job = Box<dyn FnOnce(&mut Slot) + Send>;

/// A thread that holds one connection.
pub(crate) struct Driver {
    jobs: mpsc::Sender<Job>,
}

impl Driver {
    /// Starts the thread.
    pub(crate) fn start() -> Result<Self, Trouble> {
        let (jobs, todo) = mpsc::channel::<Job>();
        let body = move || {
            let mut slot = None;
            for job in todo {
                job(&mut slot);
            }
            // Dropping a connection logs off, which is a call like any other.
            contained(|| drop(slot.take())).ok();
        };
        thread::Builder::new().name("oracle-driver".into()).spawn(body).map_err(|_| Trouble::Local)?;
        Ok(Self { jobs })
    }

    /// Has the thread run a job. The answer may never be asked for.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Slot) -> Result<T, Trouble> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, Trouble>> {
        let (answer, asked) = oneshot::channel();
        let job: Job = Box::new(move |slot| {
            let outcome = contained(|| job(slot)).unwrap_or_else(|()| {
                // What a panic has left of a connection is not used again.
                contained(|| drop(slot.take())).ok();
                Err(Trouble::Driver)
            });
            // Whoever asked may have given up.
            answer.send(outcome).ok();
        });
        // A thread that is gone drops the job and with it the sender, which the receiver notices.
        self.jobs.send(job).ok();
        asked
    }
}

/// Runs something that may panic. The panic's message, which may quote anything, is not looked at.
fn contained<T>(run: impl FnOnce() -> T) -> Result<T, ()> {
    catch_unwind(AssertUnwindSafe(run)).map_err(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_job_and_the_thread_goes_on() {
        let driver = Driver::start().unwrap();
        let panicked = driver.submit::<()>(|_| panic!("inside the driver")).await.unwrap();
        assert_eq!(panicked, Err(Trouble::Driver));
        assert_eq!(driver.submit(|_| Ok(5)).await.unwrap(), Ok(5));
    }

    #[tokio::test]
    async fn jobs_that_nobody_waits_for_are_still_run() {
        let driver = Driver::start().unwrap();
        let (done, seen) = oneshot::channel();
        drop(driver.submit(move |_| {
            done.send(()).ok();
            Ok(())
        }));
        drop(driver);
        seen.await.unwrap();
    }
}
