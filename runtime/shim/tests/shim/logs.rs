//! What containers write.

use corten_runtime_shim::protocol::{Answer, FaultCode, Op};

use crate::bundle::{run, write};
use crate::client::{Pod, eventually};
use crate::isolated;

/// A log's entries as stream, tag and text.
fn entries(pod: &Pod, id: &str) -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(pod.log(id)).unwrap();
    text.lines()
        .map(|line| {
            let mut fields = line.splitn(4, ' ');
            let time = fields.next().unwrap();
            assert!(time.len() == 30 && time.ends_with('Z'), "{time}");
            let mut next = || fields.next().unwrap().to_owned();
            (next(), next(), next())
        })
        .collect()
}

#[test]
fn long_lines_come_in_parts_and_what_has_no_newline_is_one() {
    isolated(|| {
        let pod = Pod::start("shim-partial", |_| ());
        let mut client = pod.client();
        let script = "head -c 40000 /dev/zero | tr '\\0' x; echo; echo -n rest";
        run(&pod, &mut client, "c1", script);
        assert_eq!(client.wait("c1", None).code, 0);
        let brief: Vec<(String, usize)> =
            entries(&pod, "c1").into_iter().map(|(_, tag, text)| (tag, text.len())).collect();
        let p = |length| ("P".to_owned(), length);
        let f = |length| ("F".to_owned(), length);
        assert_eq!(brief, [p(16384), p(16384), f(40000 - 2 * 16384), p(4)]);
        client.call(Op::Shutdown { force: true }).unwrap();
    });
}

#[test]
fn a_rotated_log_is_reopened_and_nothing_is_lost() {
    isolated(|| {
        let pod = Pod::start("shim-rotate", |_| ());
        let mut client = pod.client();
        run(
            &pod,
            &mut client,
            "c1",
            "i=0; while [ $i -lt 200 ]; do echo $i; i=$((i+1)); sleep 0.005; done",
        );
        let old = pod.log("c1").with_extension("old");
        eventually("some lines", || (entries(&pod, "c1").len() > 10).then_some(()));
        std::fs::rename(pod.log("c1"), &old).unwrap();
        client.call(Op::ReopenLog { container_id: "c1".to_owned() }).unwrap();
        assert_eq!(client.wait("c1", None).code, 0);
        let number = |text: &str| {
            text.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let mut all = number(&std::fs::read_to_string(&old).unwrap());
        let after = number(&std::fs::read_to_string(pod.log("c1")).unwrap());
        assert!(!after.is_empty());
        all.extend(after);
        let expected: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        assert_eq!(all, expected);
        client.call(Op::Shutdown { force: true }).unwrap();
    });
}

#[test]
fn a_flood_neither_grows_the_shim_nor_keeps_it_from_answering() {
    isolated(|| {
        let pod = Pod::start("shim-flood", |_| ());
        let mut client = pod.client();
        let rss_kib = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", pod.pid)).unwrap();
            let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        run(&pod, &mut client, "warm", "echo; exit 0");
        client.wait("warm", None);
        let before = rss_kib();
        run(&pod, &mut client, "c1", "yes flood | head -c 6000000; head -c 6000000 /dev/zero >&2");
        let waiting = client.send(Op::Wait { container_id: "c1".to_owned(), exec_id: None }, &[]);
        for _ in 0..50 {
            client.call(Op::Hello).unwrap();
        }
        let Ok(Answer::Exited(exited)) = client.reply(waiting) else { panic!("wait") };
        assert_eq!(exited.code, 0);
        let grown = rss_kib().saturating_sub(before);
        assert!(grown < 2048, "grew by {grown} KiB");
        let text: u64 = entries_bytes(&pod, "c1");
        assert_eq!(text, 6_000_000 / 6 * 5 + 6_000_000);
        client.call(Op::Shutdown { force: true }).unwrap();
    });
}

/// Bytes of text in a log, newlines of full lines apart.
fn entries_bytes(pod: &Pod, id: &str) -> u64 {
    let log = std::fs::read(pod.log(id)).unwrap();
    log.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            u64::try_from(line.len() - "2016-10-06T00:17:09.669794202Z stdout F ".len()).unwrap()
        })
        .sum()
}

#[test]
fn a_container_with_a_terminal_has_one_stream() {
    isolated(|| {
        let pod = Pod::start("shim-tty", |_| ());
        let mut client = pod.client();
        let script = "echo ready; while [ \"$(stty size 2>/dev/null)\" != '33 99' ]; do sleep 0.05; done; tty; echo err >&2";
        let bundle = write(&pod, "c1", script, |spec| spec["process"]["terminal"] = true.into());
        let op = |terminal| Op::Create {
            container_id: "c1".to_owned(),
            bundle: bundle.clone(),
            log_path: Some(pod.log("c1")),
            terminal,
            stdin: false,
            stdin_once: false,
        };
        // What the client says and what the specification says must agree.
        client.call(op(false)).unwrap_err();
        client.call(op(true)).unwrap();
        client.call(Op::Start { container_id: "c1".to_owned() }).unwrap();
        let resize =
            Op::Resize { container_id: "c1".to_owned(), exec_id: None, width: 99, height: 33 };
        assert_eq!(client.call(resize), Ok(Answer::Done));
        assert_eq!(client.wait("c1", None).code, 0);
        let all: Vec<(String, String)> =
            entries(&pod, "c1").into_iter().map(|(stream, _, text)| (stream, text)).collect();
        assert!(all.iter().all(|(stream, _)| stream == "stdout"), "{all:?}");
        let texts: Vec<&str> = all.iter().map(|(_, text)| text.trim_end_matches('\r')).collect();
        assert_eq!(texts[0], "ready");
        assert!(texts[1].starts_with("/dev/"), "{texts:?}");
        assert_eq!(texts[2], "err");
        client.call(Op::Shutdown { force: true }).unwrap();
    });
}

#[test]
fn a_log_that_is_no_file_is_refused() {
    isolated(|| {
        let pod = Pod::start("shim-badlog", |_| ());
        let mut client = pod.client();
        std::os::unix::fs::symlink("/dev/null", pod.log("c1")).unwrap();
        let bundle = write(&pod, "c1", "exit 0", |_| ());
        client.call(crate::bundle::create(&pod, "c1", bundle)).unwrap_err();
        let fault = client.call(Op::ReopenLog { container_id: "c1".to_owned() }).unwrap_err();
        assert_eq!(fault.code, FaultCode::NotFound);
        client.call(Op::Shutdown { force: false }).unwrap();
    });
}
