//! Completions and manual pages, tested in the programs that read them.

use std::process::{Command, Stdio};

use super::super::process::Directory;
use super::lab::{Agent, OURS, Ran, serf};

/// Whether a program is installed.
fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    let is_here = found.is_ok_and(|status| status.success());
    if !is_here {
        eprintln!("PARTLY RUN: {program} is not installed");
    }
    is_here
}

fn run(program: &str, args: &[&str]) -> Ran {
    Command::new(program).args(args).output().expect("can be run").into()
}

/// The completions of bash after these words.
fn offered(words: &[&str], rpc: &str) -> Vec<String> {
    offered_in(&words.concat(), words, rpc)
}

/// The same, with the whole line.
fn offered_in(line: &str, words: &[&str], rpc: &str) -> Vec<String> {
    let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let (binary, last) = (OURS, words.len() - 1);
    let script = format!(
        "set -u; source <({binary} completions bash); serf() {{ {binary} \"$@\"; }}; export SERF_RPC_ADDR={rpc}
         COMP_WORDS=({}); COMP_CWORD={last}; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; _serf; printf '%s\\n' \"${{COMPREPLY[@]-}}\"",
        words.join(" ")
    );
    let ran = run("bash", &["-c", &script]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{words:?}");
    ran.out.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_values_and_names() {
    if !has("bash") {
        return;
    }
    let nobody = "127.0.0.1:1";
    assert_eq!(offered(&["serf", "mem"], nobody), ["members"]);
    assert_eq!(offered(&["serf", "members", "-de"], nobody), ["-detailed"]);
    assert_eq!(offered(&["serf", "members", "--sta"], nobody), ["-status"]);
    assert_eq!(offered(&["serf", "members", "-format", ""], nobody), ["text", "json"]);
    assert_eq!(offered(&["serf", "members", "-format", "=", "j"], nobody), ["json"]);
    assert_eq!(offered(&["serf", "agent", "-log-level", "="], nobody), ["trace", "debug", "info", "warn", "err"]);
    assert_eq!(offered(&["serf", "completions", "b"], nobody), ["bash"]);
    assert!(offered(&["serf", "rtt", ""], nobody).is_empty(), "without an agent there are no names, and no noise");
    let agent = Agent::start(OURS, "web-1", &[]);
    assert_eq!(offered(&["serf", "rtt", "w"], &agent.rpc), ["web-1"]);
    assert_eq!(offered(&["serf", "query", "-node", ""], &agent.rpc), ["web-1"]);
    assert_eq!(offered(&["serf", "members", "-status", ""], nobody), ["alive", "leaving", "left", "failed"]);
    assert!(offered(&["serf", "tags", "-delete", ""], nobody).is_empty());
    let tagged = Agent::start(OURS, "tagged", &["-tag", "role=a = b", "-tag", "rack=7"]);
    assert_eq!(offered(&["serf", "tags", "-delete", "r"], &tagged.rpc), ["rack", "role"]);
    assert_eq!(offered(&["serf", "force-leave", "w"], &agent.rpc), ["web-1"]);
    assert_eq!(offered(&["serf", "force-leave", "-prune", "w"], &agent.rpc), ["web-1"]);
    assert!(offered(&["serf", "force-leave", "web-1", ""], &agent.rpc).is_empty(), "it takes one name");
    if std::fs::exists("/sys/class/net/lo").expect("can be looked up") {
        assert_eq!(offered(&["serf", "agent", "-iface", "=", "lo"], nobody), ["lo"]);
    }
    let directory = Directory::new();
    std::fs::create_dir(directory.path().join("a directory")).expect("can be made");
    let (start, found) =
        (format!("{}/a", directory.path().display()), format!("{}/a directory", directory.path().display()));
    assert_eq!(offered(&["serf", "agent", "-config-dir", "=", &start], nobody), [found.as_str()]);
    let line = format!("serf agent -event-handler=user:deploy={start}");
    let words = ["serf", "agent", "-event-handler", "=", "user", ":", "deploy", "=", &start];
    assert_eq!(offered_in(&line, &words, nobody), [found.as_str()]);
    let name = "$(echo${IFS}PWNED>&2);x";
    let agent = Agent::start(OURS, name, &[]);
    let quoted = offered(&["serf", "rtt", ""], &agent.rpc).remove(0);
    let said = run("bash", &["-c", &format!("printf %s {quoted}")]);
    assert_eq!((said.out.as_str(), said.err.as_str()), (name, ""), "what is in a name is not run");
    let registered = run("bash", &["-c", &format!("source <({OURS} completions bash); complete -p serf")]);
    assert_eq!(registered.out, "complete -F _serf serf\n");
}

#[test]
fn every_command_is_in_every_script_and_shells_can_read_them() {
    let commands = serf(&[], &[]).err;
    let commands =
        commands.lines().filter(|line| line.starts_with("    ")).filter_map(|line| line.split_whitespace().next());
    let commands: Vec<_> = commands.collect();
    assert!(commands.len() > 15, "{commands:?}");
    let directory = Directory::new();
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = serf(&["completions", shell], &[]);
        assert_eq!(script.code, Some(0));
        for command in &commands {
            assert!(script.out.contains(command), "{command} in {shell}");
        }
        let path = directory.path().join(shell);
        std::fs::write(&path, &script.out).expect("can be written");
        if has(shell) {
            let ran = run(shell, &[check, &path.display().to_string()]);
            assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{shell}");
        }
    }
    let ran = serf(&["completions", "tcsh"], &[]);
    assert!(ran.out.starts_with("One of bash, zsh and fish must be specified.\n\nUsage: serf completions"), "{ran:?}");
    assert_eq!(ran.code, Some(1));
}

#[test]
fn manual_pages_render_without_a_complaint_and_hold_the_flags() {
    let directory = Directory::new();
    let path = directory.path().display().to_string();
    let written = serf(&["man", &path], &[]);
    assert_eq!(written.code, Some(0));
    let pages: Vec<_> = written.out.lines().collect();
    assert!(pages.contains(&&*format!("{path}/serf.1")) && pages.contains(&&*format!("{path}/serf-agent.1")));
    assert_eq!(serf(&["man"], &[]).out, std::fs::read_to_string(pages[0]).expect("is there"));
    if has("groff") {
        for page in &pages {
            let ran = run("groff", &["-ww", "-man", "-Tascii", page]);
            assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{page}");
        }
    }
    if has("mandoc") {
        for page in &pages {
            assert_eq!(run("mandoc", &["-T", "ascii", page]).code, Some(0), "{page}");
        }
    }
    if has("man") {
        let ran = run("man", &["-l", &format!("{path}/serf-query.1")]);
        assert_eq!(ran.code, Some(0));
        let text: String = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("-relay-factor=0 Over how many other members"), "{text}");
    }
    let made = format!("{path}/made/for/them");
    assert_eq!(serf(&["man", &made], &[]).code, Some(0));
    assert!(std::fs::exists(format!("{made}/serf.1")).expect("can be looked up"));
    let ran = serf(&["man", "/dev/null/at/all"], &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), "Error writing '/dev/null/at/all': not a directory\n"));
}
