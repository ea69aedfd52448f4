//! A place for dead letters that does as it is told.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use gristmill_broker::{DeadLetter, DeadLetters, KeepError, Keeping, SourceError};
use gristmill_mapping::{OnFailure, Settings};
use serde_json::Value;
use tokio::sync::Notify;

/// How a place answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It keeps what it is given.
    Keeps,
    /// It is away.
    Away,
    /// It takes nothing, and says nothing about it beforehand.
    Refuses,
    /// It is not there.
    Missing,
    /// It says nothing at all until it is told something else.
    Waits,
}

/// A place that keeps dead letters in memory.
#[derive(Debug)]
pub(crate) struct Place {
    answer: Mutex<Answer>,
    kept: Mutex<Vec<DeadLetter>>,
    asked: Mutex<usize>,
    closed: Mutex<usize>,
    told: Notify,
}

impl Place {
    pub(crate) fn new(answer: Answer) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(answer),
            kept: Mutex::default(),
            asked: Mutex::default(),
            closed: Mutex::default(),
            told: Notify::new(),
        })
    }

    /// What makes a mapping keep its dead letters here.
    pub(crate) fn set(self: &Arc<Self>, settings: &mut Settings) {
        settings.give_up.on_failure = OnFailure::Keep(self.clone());
    }

    pub(crate) fn tell(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
        self.told.notify_waiters();
    }

    /// How often it was given something to keep.
    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    /// How often it was closed.
    pub(crate) fn closed(&self) -> usize {
        *self.closed.lock().unwrap()
    }

    /// The bodies that it keeps, in order.
    pub(crate) fn bodies(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap();
        let body = |letter: &DeadLetter| String::from_utf8(letter.original.0.clone()).unwrap();
        kept.iter().map(body).collect()
    }

    /// The invocation records, in order.
    pub(crate) fn records(&self) -> Vec<Value> {
        let kept = self.kept.lock().unwrap();
        kept.iter().map(|letter| serde_json::from_str(&letter.record).unwrap()).collect()
    }

    /// How it answers now, once it says something.
    async fn answer(&self) -> Answer {
        loop {
            let told = self.told.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            let answer = *self.answer.lock().unwrap();
            if answer != Answer::Waits {
                return answer;
            }
            told.await;
        }
    }
}

fn error(answer: Answer) -> KeepError {
    let (queue, reason) = ("dead".to_owned(), "on purpose".to_owned());
    match answer {
        Answer::Away => KeepError::Connection(SourceError::Unreachable {
            broker: "fake".to_owned(),
            source: "away".into(),
        }),
        Answer::Missing => KeepError::QueueMissing { queue, reason },
        Answer::Keeps | Answer::Refuses | Answer::Waits => KeepError::NotTaken { queue, reason },
    }
}

impl DeadLetters for Place {
    fn check(&self) -> Keeping<'_> {
        Box::pin(async {
            match self.answer().await {
                answer @ (Answer::Away | Answer::Missing) => Err(error(answer)),
                Answer::Keeps | Answer::Refuses | Answer::Waits => Ok(()),
            }
        })
    }

    fn keep(&self, letters: Vec<DeadLetter>) -> Keeping<'_> {
        Box::pin(async {
            *self.asked.lock().unwrap() += 1;
            match self.answer().await {
                Answer::Keeps => {
                    self.kept.lock().unwrap().extend(letters);
                    Ok(())
                }
                answer @ (Answer::Away | Answer::Refuses | Answer::Missing | Answer::Waits) => {
                    Err(error(answer))
                }
            }
        })
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        *self.closed.lock().unwrap() += 1;
        Box::pin(ready(()))
    }
}
