//! Writing a journal: one thread owns the file, so that a group of lines costs one fsync.

use super::{Answer, Intent, Record};
use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    thread,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Entries that may wait for the writer; beyond it callers wait too.
const QUEUE: usize = 65_536;
/// Bytes gathered into one write and fsync at most.
const GROUP: usize = 1 << 20;
/// How long answers are gathered before they are fsynced: at 5,000 a second a hundred of them share one fsync. Intents never wait.
const GATHER: Duration = Duration::from_millis(20);

/// The journal can no longer be written; [`Journal::close`] tells why.
#[derive(Debug, thiserror::Error)]
#[error("the journal can no longer be written")]
pub struct Lost;

/// A journal being written. Shared by reference among the tasks of a run.
#[derive(Debug)]
pub struct Journal {
    entries: mpsc::Sender<Entry>,
    writer: thread::JoinHandle<io::Result<()>>,
}

#[derive(Debug)]
enum Entry {
    Intents(Vec<Intent>, oneshot::Sender<()>),
    Answer(Answer),
}

impl Journal {
    /// Starts a new journal. An existing file is never overwritten: it may be the only witness of what was promised.
    ///
    /// # Errors
    /// The file exists or cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::create_new(path)?;
        let (entries, inbox) = mpsc::channel(QUEUE);
        let writer = thread::Builder::new()
            .name("journal".into())
            .spawn(move || write(file, inbox))?;
        Ok(Self { entries, writer })
    }

    /// Appends intents and returns once they are on disk. Their requests may be sent after that, not before.
    ///
    /// # Errors
    /// [`Lost`]: nothing may be sent.
    pub async fn intend(&self, intents: Vec<Intent>) -> Result<(), Lost> {
        let (durable, on_disk) = oneshot::channel();
        self.entries
            .send(Entry::Intents(intents, durable))
            .await
            .map_err(|_| Lost)?;
        on_disk.await.map_err(|_| Lost)
    }

    /// Hands an answer to the writer, which fsyncs it within about 20 ms.
    ///
    /// # Errors
    /// [`Lost`]: the answer is not in the journal.
    pub async fn answer(&self, answer: Answer) -> Result<(), Lost> {
        self.entries
            .send(Entry::Answer(answer))
            .await
            .map_err(|_| Lost)
    }

    /// Writes what is left and the end mark.
    ///
    /// # Errors
    /// What made the writer give up, now or earlier.
    pub async fn close(self) -> io::Result<()> {
        drop(self.entries);
        tokio::task::spawn_blocking(|| self.writer.join())
            .await
            .map_err(io::Error::other)?
            .unwrap_or_else(|_| Err(io::Error::other("the journal's writer panicked")))
    }
}

fn write(mut file: File, mut inbox: mpsc::Receiver<Entry>) -> io::Result<()> {
    let mut group = Group::default();
    while let Some(entry) = inbox.blocking_recv() {
        group.add(entry)?;
        if group.waiting.is_empty() {
            thread::sleep(GATHER);
        }
        while group.lines.len() < GROUP {
            match inbox.try_recv() {
                Ok(entry) => group.add(entry)?,
                Err(_) => break,
            }
        }
        group.flush(&mut file)?;
    }
    group.line(&Record::End {
        answers: group.answers,
    })?;
    group.flush(&mut file)
}

/// Lines that are to share one fsync, and who waits for it.
#[derive(Default)]
struct Group {
    lines: Vec<u8>,
    waiting: Vec<oneshot::Sender<()>>,
    answers: u64,
}

impl Group {
    fn add(&mut self, entry: Entry) -> io::Result<()> {
        match entry {
            Entry::Answer(answer) => {
                self.answers += 1;
                self.line(&Record::Answer(answer))
            }
            Entry::Intents(intents, durable) => {
                self.waiting.push(durable);
                intents
                    .into_iter()
                    .try_for_each(|intent| self.line(&Record::Intent(intent)))
            }
        }
    }

    fn line(&mut self, record: &Record) -> io::Result<()> {
        serde_json::to_writer(&mut self.lines, record)?;
        self.lines.push(b'\n');
        Ok(())
    }

    fn flush(&mut self, file: &mut File) -> io::Result<()> {
        file.write_all(&self.lines)?;
        file.sync_data()?;
        self.lines.clear();
        for durable in self.waiting.drain(..) {
            // The caller may have gone; its intents are on disk all the same.
            let _ = durable.send(());
        }
        Ok(())
    }
}
