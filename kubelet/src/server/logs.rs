//! Container logs: CRI's format on disk to what a user asked for.
//!
//! A line on disk is `<RFC 3339 time> <stdout|stderr> <F|P> <text>`; `P` marks a part of a longer
//! line. Rotated files are not shown: a reader begins at the current one, as upstream does.

use std::collections::VecDeque;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use corten_task::Tasks;
use futures::Stream;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, AsyncSeekExt as _, BufReader};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::cri::{Cri, CriError};
use crate::host::Host;
use crate::pods::model;

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(100);
/// Longer lines on disk are shown in parts; a runtime writes at most 16 KiB each.
const LINE_BYTES_MAX: usize = 256 * 1024;
/// Lines under way to the client.
const QUEUE_MAX: usize = 64;

/// Why there is nothing to show.
#[derive(Debug)]
pub(super) enum LogError {
    NotFound(String),
    NotYet(String),
    Unreadable(String),
    Cri(CriError),
}

/// What the client asked for (`PodLogOptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) follow: bool,
    pub(super) previous: bool,
    pub(super) timestamps: bool,
    pub(super) tail: Option<usize>,
    pub(super) limit_bytes: Option<u64>,
    pub(super) since: Option<Timestamp>,
}

impl Options {
    /// Reads the query; names the parameter that is wrong.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            let value = percent_decode(value);
            let wrong = |what: &str| format!("{name}={value}: {what}\n");
            let truth = || !matches!(value.as_str(), "" | "0" | "false" | "False");
            match name {
                "follow" => options.follow = truth(),
                "previous" => options.previous = truth(),
                "timestamps" => options.timestamps = truth(),
                "tailLines" => {
                    let lines = value.parse().map_err(|_bad| wrong("not a number of lines"))?;
                    options.tail = Some(lines);
                }
                "limitBytes" => {
                    let bytes = value.parse().map_err(|_bad| wrong("not a number of bytes"))?;
                    options.limit_bytes = Some(bytes);
                }
                "sinceSeconds" => {
                    let seconds = value.parse().map_err(|_bad| wrong("not a number of seconds"))?;
                    options.since = Some(Timestamp::now() - SignedDuration::from_secs(seconds));
                }
                "sinceTime" => {
                    let time = value.parse().map_err(|_bad| wrong("not an RFC 3339 time"))?;
                    options.since = Some(time);
                }
                // `container`, `insecureSkipTLSVerifyBackend` and the like are the API server's.
                _ => {}
            }
        }
        Ok(options)
    }
}

fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                let code = std::str::from_utf8(&digits)
                    .ok()
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                out.extend(code);
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A container's log, opened: what can't be read is told before an answer begins.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    file: File,
    container_id: String,
}

/// Finds the log of the newest container of this name, or of the one before.
pub(super) async fn find(
    host: &Host,
    pod: &Pod,
    container: &str,
    previous: bool,
) -> Result<Place, LogError> {
    let (namespace, name) = (
        pod.metadata.namespace.as_deref().unwrap_or_default(),
        pod.metadata.name.as_deref().unwrap_or_default(),
    );
    let known = pod.spec.as_ref().and_then(|spec| model::container(spec, container));
    if known.is_none() {
        let text = format!("container \"{container}\" not found in pod \"{namespace}/{name}\"\n");
        return Err(LogError::NotFound(text));
    }
    let filter = corten_api_cri::v1::ContainerFilter {
        label_selector: [
            (crate::pods::labels::POD_UID.to_owned(), model::uid(pod).0),
            (crate::pods::labels::CONTAINER_NAME.to_owned(), container.to_owned()),
        ]
        .into_iter()
        .collect(),
        ..Default::default()
    };
    let mut found = host.cri.list_containers(Some(filter)).await.map_err(LogError::Cri)?;
    found.sort_by_key(|c| std::cmp::Reverse(c.created_at));
    let Some(chosen) = found.get(usize::from(previous)) else {
        let text = if previous {
            format!("previous terminated container \"{container}\" in pod \"{name}\" not found\n")
        } else {
            let waiting = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten());
            let reason = waiting
                .filter(|c| c.name == container)
                .find_map(|c| c.state.as_ref()?.waiting.as_ref()?.reason.clone())
                .unwrap_or_else(|| "ContainerCreating".to_owned());
            format!("container \"{container}\" in pod \"{name}\" is waiting to start: {reason}\n")
        };
        return Err(LogError::NotYet(text));
    };
    let status = host.cri.container_status(&chosen.id).await.map_err(LogError::Cri)?;
    let path = status.map(|s| PathBuf::from(s.log_path)).unwrap_or_default();
    // The path is the runtime's word; only a file of the logs folder is shown.
    if !path.starts_with(&host.config.pod_logs_dir) {
        let text = format!("the log of container \"{container}\" is not kept in a file\n");
        return Err(LogError::NotFound(text));
    }
    let file = open(&path)
        .await
        .map_err(|error| LogError::Unreadable(format!("the log {}: {error}\n", path.display())))?;
    Ok(Place { path, file, container_id: chosen.id.clone() })
}

/// The log as the client wants it. The reader ends when the client goes.
pub(super) fn stream(
    place: Place,
    options: Options,
    cri: Cri,
    tasks: &Tasks,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + Sync + 'static {
    let (tell, told) = mpsc::channel::<Result<Bytes, io::Error>>(QUEUE_MAX);
    tasks.spawn("log reader", async move {
        let Place { path, file, container_id } = place;
        let left = options.limit_bytes;
        let reader = Reader { path, container_id, left, options, cri, tell: tell.clone() };
        tokio::select! {
            result = reader.run(file) => if let Err(error) = result {
                // Only fails if the client is gone, which ends the reader anyway.
                tell.send(Err(error)).await.unwrap_or_default();
            },
            () = tell.closed() => {}
        }
    });
    ReceiverStream::new(told)
}

struct Reader {
    path: PathBuf,
    container_id: String,
    options: Options,
    left: Option<u64>,
    cri: Cri,
    tell: mpsc::Sender<Result<Bytes, io::Error>>,
}

/// A log is a file of the runtime's: a link in its place is not followed.
async fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits();
    let flags = i32::try_from(flags).unwrap_or(0);
    tokio::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).await
}

/// Whether reading goes on.
#[derive(PartialEq)]
enum Step {
    More,
    Done,
}

impl Reader {
    async fn run(mut self, file: File) -> io::Result<()> {
        let mut file = BufReader::new(file);
        let start = match self.options.tail {
            Some(lines) => self.tail_start(&mut file, lines).await?,
            None => 0,
        };
        let mut position = file.seek(SeekFrom::Start(start)).await?;
        loop {
            while let Some(line) = next_line(&mut file).await? {
                position += line.len() as u64;
                if self.show(&line).await == Step::Done {
                    return Ok(());
                }
            }
            if !self.options.follow {
                return Ok(());
            }
            let running = self.is_running().await;
            tokio::time::sleep(POLL).await;
            let length = file.get_ref().metadata().await?.len();
            if length > position {
                file.seek(SeekFrom::Start(position)).await?;
                continue;
            }
            if let Some(next) = self.rotated(file.get_ref()).await? {
                file = BufReader::new(next);
                position = 0;
                continue;
            }
            // Asked before the last look at the file, so that the last lines are not missed.
            if !running {
                return Ok(());
            }
        }
    }

    /// The file that took the place of the open one, if any did.
    async fn rotated(&self, current: &File) -> io::Result<Option<File>> {
        use std::os::unix::fs::MetadataExt as _;
        match open(&self.path).await {
            Ok(next) if next.metadata().await?.ino() != current.metadata().await?.ino() => {
                Ok(Some(next))
            }
            Ok(_same) => Ok(None),
            // Between the rename and the reopening there is none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn is_running(&self) -> bool {
        let status = self.cri.container_status(&self.container_id).await;
        let running = corten_api_cri::v1::ContainerState::ContainerRunning;
        status.is_ok_and(|status| status.is_some_and(|s| s.state() == running))
    }

    /// Where the last `count` lines begin. Parts of one line count as one.
    async fn tail_start(&self, file: &mut BufReader<File>, count: usize) -> io::Result<u64> {
        let mut starts: VecDeque<u64> = VecDeque::new();
        let (mut position, mut continued) = (0, false);
        while let Some(line) = next_line(file).await? {
            if !continued {
                starts.push_back(position);
                if starts.len() > count {
                    starts.pop_front();
                }
            }
            continued = parse(&line).is_some_and(|entry| entry.partial);
            position += line.len() as u64;
        }
        Ok(starts.front().copied().unwrap_or(position))
    }

    async fn show(&mut self, line: &[u8]) -> Step {
        let Some(entry) = parse(line) else { return Step::More };
        if let Some(since) = self.options.since
            && entry.time.parse::<Timestamp>().is_ok_and(|time| time < since)
        {
            return Step::More;
        }
        let mut out = Vec::with_capacity(line.len());
        if self.options.timestamps {
            out.extend_from_slice(entry.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(entry.text);
        if !entry.partial {
            out.push(b'\n');
        }
        let mut last = false;
        if let Some(left) = &mut self.left {
            let room = usize::try_from(*left).unwrap_or(usize::MAX);
            last = out.len() >= room;
            out.truncate(room);
            *left -= out.len() as u64;
        }
        if self.tell.send(Ok(Bytes::from(out))).await.is_err() || last {
            return Step::Done;
        }
        Step::More
    }
}

/// The next line with its newline; `None` at the end, where a line may still be in the making.
async fn next_line(file: &mut BufReader<File>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut limited = tokio::io::AsyncReadExt::take(&mut *file, LINE_BYTES_MAX as u64);
    let length = limited.read_until(b'\n', &mut line).await?;
    if length == 0 || (line.last() != Some(&b'\n') && length < LINE_BYTES_MAX) {
        return Ok(None);
    }
    Ok(Some(line))
}

#[derive(Debug, PartialEq, Eq)]
struct Entry<'a> {
    time: &'a str,
    partial: bool,
    text: &'a [u8],
}

fn parse(line: &[u8]) -> Option<Entry<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let _stream = parts.next()?;
    let tags = parts.next()?;
    let partial = tags.split(|byte| *byte == b':').next() == Some(b"P");
    Some(Entry { time, partial, text: parts.next().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read() {
        let options =
            Options::parse("follow=true&tailLines=5&timestamps=1&previous=false").unwrap();
        assert!(options.follow && options.timestamps && !options.previous);
        assert_eq!(options.tail, Some(5));
        let time = Options::parse("sinceTime=2026-01-01T00%3A00%3A00Z").unwrap().since.unwrap();
        assert_eq!(time.to_string(), "2026-01-01T00:00:00Z");
        let error = Options::parse("tailLines=x").unwrap_err();
        assert_eq!(error, "tailLines=x: not a number of lines\n");
    }

    #[test]
    fn lines_are_taken_apart() {
        let entry = parse(b"2026-01-01T00:00:00Z stdout P a b\n").unwrap();
        assert_eq!(entry, Entry { time: "2026-01-01T00:00:00Z", partial: true, text: b"a b" });
        assert_eq!(parse(b"t stderr F \n").unwrap().text, b"");
        assert_eq!(parse(b"broken\n"), None);
    }
}
