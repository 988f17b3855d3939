//! Dependency rules between the protocol's modules, checked on the source.
//!
//! A layer that depends on no other can be read alone, and tested with a `Core` only. Before you relax a rule, look for
//! a value to pass down or a notification to send up.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Permitted dependencies per module: whole modules, or single items. Tests are exempt.
const WALLS: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("time", &[]),
    ("fingerprint", &["time"]),
    ("rng", &[]),
    ("named", &[]),
    ("sink", &[]),
    ("msgpack", &["sink"]),
    ("stats", &["named", "wire::MessageKind"]),
    ("broadcast", &["fingerprint", "limits"]),
    ("waits", &["stats", "time"]),
    ("wire", &["limits", "msgpack", "named", "sink"]),
    ("types", &["limits", "wire::hashicorp"]),
    ("envelope", &["fingerprint", "limits", "msgpack", "rng", "sink", "stats::DropReason", "types"]),
    (
        "config",
        &[
            "envelope::EnvelopeConfig",
            "envelope::Keyring",
            "envelope::Label",
            "limits",
            "types",
            "wire::Codec",
            "wire::Versions",
        ],
    ),
    ("roster", &["fingerprint", "limits", "types", "wire"]),
    ("event", &["roster", "time", "types"]),
    ("complaints", &["limits", "roster", "stats", "time", "types"]),
    ("outbox", &["envelope::PacketBuffers", "event", "types"]),
    ("timer", &["fingerprint", "roster::MemberIdx", "time", "types"]),
    ("token_bucket", &["fingerprint", "time"]),
    ("policy", &["event::Member", "roster::canonical", "types", "wire::Versions", "wire::swim"]),
    (
        "core",
        &[
            "complaints",
            "config",
            "event",
            "fingerprint",
            "limits::ANSWERS_PER_PACKET_MAX",
            "named",
            "policy::SharedPolicy",
            "rng",
            "roster",
            "stats",
            "time",
            "timer",
            "types",
            "wire::Codec",
            "wire::Versions",
        ],
    ),
    (
        "stream",
        &[
            "core::ExchangePurpose",
            "envelope",
            "event::SeedFailureCause",
            "fingerprint",
            "limits",
            "stats::DropReason",
            "time",
            "types",
            "wire",
        ],
    ),
    (
        "swim",
        &[
            "broadcast",
            "complaints::ComplaintKind",
            "config",
            "core",
            "envelope::Packer",
            "event",
            "fingerprint",
            "limits",
            "rng",
            "roster",
            "stats",
            "time",
            "timer",
            "types",
            "waits",
            "wire",
        ],
    ),
    (
        "serf",
        &[
            "broadcast",
            "conceal::Concealer",
            "config",
            "core",
            "envelope::Packer",
            "event",
            "fingerprint",
            "limits",
            "msgpack::write",
            "rng",
            "roster",
            "stats",
            "time",
            "timer",
            "token_bucket::TokenBucket",
            "types",
            "waits",
            "wire",
        ],
    ),
    ("conceal", &["envelope", "types::Key", "wire"]),
    ("diagnostics", &["envelope", "stream", "wire"]),
    (
        "input",
        &[
            "conceal",
            "event",
            "node",
            "outbox",
            "serf::Question",
            "stats::DropReason",
            "stream::StreamInput",
            "time",
            "types",
        ],
    ),
    ("internals", &["core::Sometimes", "envelope", "msgpack", "node", "rng::Seed", "wire"]),
];

/// Exceptions: dependencies forbidden although a wider rule permits them.
const EXCEPT: &[(&str, &str)] = &[("swim", "wire::serf"), ("serf", "wire::swim")];

/// The only module that may depend on all others.
const ANYTHING: &str = "node";

/// Sources of nondeterminism and IO: clocks, threads, std's hash tables with their random order.
const WORLD: &[&str] = &["std::", "Instant::now", "SystemTime", "thread_rng", "getrandom", "static mut", "HashMap"];

fn source_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/src")
}

/// Returns all source files below `dir` except tests.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name == "tests" {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort_unstable();
    found
}

/// Returns the code of a file without comments and tests.
fn code(path: &Path) -> String {
    strip(&fs::read_to_string(path).unwrap())
}

fn strip(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the module of a file: its own name, or that of its directory.
fn module_of(path: &Path) -> String {
    let within = path.strip_prefix(source_dir()).unwrap();
    let first = within.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// Returns every `crate::` path in `code`, as its first two segments: `wire::native`. Expands braces.
fn uses(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        tree(&code[at + "crate::".len()..], &mut Vec::new(), &mut found);
    }
    found
}

/// Parses one path, or a list of paths in braces, at the start of `text`; returns its length.
fn tree(text: &str, path: &mut Vec<String>, found: &mut Vec<String>) -> usize {
    if text.starts_with('{') {
        let mut at = 1;
        while at < text.len() && !text[at..].starts_with('}') {
            let used = tree(&text[at..], &mut path.clone(), found);
            at += used.max(1);
        }
        return at + 1;
    }
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    if name.is_empty() {
        return 0;
    }
    path.push(name.clone());
    let rest = &text[name.len()..];
    if let Some(rest) = rest.strip_prefix("::")
        && rest.starts_with(|c: char| c.is_alphabetic() || c == '{')
    {
        return name.len() + 2 + tree(rest, path, found);
    }
    found.push(path.iter().filter(|name| *name != "self").take(2).cloned().collect::<Vec<_>>().join("::"));
    name.len()
}

/// Returns the items that `lib.rs` exports at the root, with their modules: `Tags` is `serf::Tags`.
fn exports() -> BTreeMap<String, String> {
    let lib = code(&source_dir().join("lib.rs"));
    let mut exports = BTreeMap::new();
    for statement in lib.split("pub use ").skip(1) {
        let mut found = Vec::new();
        tree(statement, &mut Vec::new(), &mut found);
        for path in found {
            let item = path.rsplit("::").next().unwrap_or_default().to_owned();
            exports.insert(item, path);
        }
    }
    exports
}

fn allowed(module: &str, used: &str) -> bool {
    let covers = |rule: &&str| used == *rule || used.starts_with(&format!("{rule}::"));
    if module == ANYTHING || covers(&module) {
        return true;
    }
    if EXCEPT.iter().any(|(of, rule)| *of == module && covers(rule)) {
        return false;
    }
    WALLS.iter().any(|(of, rules)| *of == module && rules.iter().any(covers))
}

/// Returns the forbidden dependencies of a module's code.
fn breaches(module: &str, code: &str, exports: &BTreeMap<String, String>) -> Vec<String> {
    let home = |used: String| exports.get(used.split("::").next().unwrap_or_default()).cloned().unwrap_or(used);
    let used = uses(code).into_iter().map(home);
    used.filter(|used| !allowed(module, used)).collect()
}

#[test]
fn every_module_knows_only_what_its_wall_lets_in() {
    let exports = exports();
    let mut found = Vec::new();
    for path in sources(&source_dir()) {
        let module = module_of(&path);
        if module != "lib" {
            let breaches = breaches(&module, &code(&path), &exports);
            found.extend(breaches.into_iter().map(|used| format!("{}: {used}", path.display())));
        }
    }
    assert!(found.is_empty(), "these reach through a wall:\n{}", found.join("\n"));
}

#[test]
fn every_module_has_a_wall() {
    for path in sources(&source_dir()) {
        let module = module_of(&path);
        let known = module == "lib" || module == ANYTHING || WALLS.iter().any(|(of, _)| *of == module);
        assert!(known, "what may {module} know?");
    }
}

#[test]
fn no_module_imports_the_crate_through_its_parents() {
    for path in sources(&source_dir()) {
        let depth = path.strip_prefix(source_dir()).unwrap().components().count();
        let code = code(&path);
        let out = if depth == 1 { "super::" } else { "super::super::" };
        assert!(!code.contains(out), "{} uses {out}", path.display());
    }
}

#[test]
fn the_protocol_is_pure() {
    let lib = fs::read_to_string(source_dir().join("lib.rs")).unwrap();
    for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
        assert!(lib.lines().any(|line| line == attribute), "lib.rs says {attribute}");
    }
    // Generates keys for applications, behind a feature. No node calls it.
    let generates = |path: &Path| path.ends_with("types/generate.rs");
    for path in sources(&source_dir()).into_iter().filter(|path| !generates(path)) {
        let code = code(&path);
        for word in WORLD {
            assert!(!contains_word(&code, word), "{} says {word}", path.display());
        }
    }
}

/// Whether `word` occurs in `code`, other than as the end of a longer name.
fn contains_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn hash_tables_are_looked_up_and_never_walked() {
    for path in sources(&source_dir()) {
        let walked = walked_tables(&code(&path));
        assert!(walked.is_empty(), "{}: the iteration order of {walked:?} is unspecified", path.display());
    }
}

/// Returns the hash tables in `code` that are iterated.
fn walked_tables(code: &str) -> Vec<String> {
    let mut walked = Vec::new();
    for kind in ["HashTable", "HashSet"] {
        for (at, _) in code.match_indices(kind) {
            let before = code[..at].trim_end_matches(|c: char| c.is_alphanumeric() || c == ':' || c == '_');
            let declared = before.trim_end().trim_end_matches([':', '=']).trim_end();
            let name = declared.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
            let walks = [".iter()", ".iter_mut()", ".drain(", ".into_iter()", ".retain(", ".extract_if("];
            if !name.is_empty() && walks.iter().any(|walk| contains_word(code, &format!("{name}{walk}"))) {
                walked.push(name.to_owned());
            }
        }
    }
    walked
}

/// Calls that can block on a disk, a terminal, a pipe or another thread: forbidden on the thread that runs the node.
const WAITS: &[&str] = &[
    "fs",
    "File",
    "OpenOptions",
    "sync_all",
    "println!",
    "eprintln!",
    "print!",
    "eprint!",
    "dbg!",
    "stdin",
    "stdout",
    "stderr",
    "thread::sleep",
    "recv_blocking",
    "send_blocking",
    "Condvar",
    "Command",
    "to_socket_addrs",
];

/// Exceptions per crate, with the reason why they cannot block the node.
const WORKERS: &[(&str, &[(&str, &str)])] = &[
    (
        "runtime",
        &[
            ("disk.rs", "before the node runs, then on the thread of a worker"),
            ("interfaces.rs", "before the node runs, then by `unblock`"),
            ("keyring_file.rs", "for applications; a node reads and writes by its disk"),
            ("replace.rs", "used by disk.rs"),
            ("socket.rs", "names are resolved by `unblock`"),
        ],
    ),
    ("runtime-tokio", &[]),
    ("runtime-smol", &[]),
];

#[test]
fn nothing_that_can_wait_is_said_where_gossip_runs() {
    for (dir, workers) in WORKERS {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(dir).join("src");
        for path in sources(&dir) {
            let name = path.strip_prefix(&dir).unwrap().to_str().unwrap();
            let said: Vec<&str> = waits(&code(&path));
            let may = workers.iter().any(|(worker, _)| *worker == name);
            assert!(may || said.is_empty(), "{} says {said:?}: give it to a thread of its own", path.display());
            assert!(!may || !said.is_empty(), "{} need not be in the list", path.display());
        }
    }
}

/// Returns the blocking calls in `code`.
fn waits(code: &str) -> Vec<&'static str> {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let says = |word: &&&str| {
        let starts = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        code.match_indices(**word).any(|(at, word)| starts(at) && ends(&code[at + word.len()..]))
    };
    WAITS.iter().filter(says).copied().collect()
}

/// Permitted dependencies between our crates, except for tests and examples.
const CRATES: &[(&str, &[&str])] = &[
    ("proto", &[]),
    // The agent's for its configuration files, which scenarios may name; the runtime's for captures.
    ("sim", &["serf-agent", "serf-proto", "serf-runtime"]),
    ("runtime", &["serf-proto"]),
    ("runtime-tokio", &["serf-runtime"]),
    ("runtime-smol", &["serf-runtime"]),
    ("runtime-sim", &["serf-proto", "serf-tokio"]),
    ("examples", &["serf-tokio"]),
    ("model", &["serf-proto", "serf-tests"]),
];

#[test]
fn every_crate_knows_only_those_below_it() {
    for (dir, allowed) in CRATES {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(dir).join("Cargo.toml");
        for used in our_crates(&fs::read_to_string(manifest).unwrap()) {
            assert!(allowed.contains(&used.as_str()), "{dir} knows {used}");
        }
    }
}

/// Returns our crates among the dependencies of a manifest.
fn our_crates(manifest: &str) -> Vec<String> {
    let dependencies = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    let names = dependencies.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| name.starts_with("serf-") || *name == "sim").map(str::to_owned).collect()
}

// Tests of the helpers above.

#[test]
fn our_crates_are_found_among_the_dependencies_only() {
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\nbytes = \"1\"\nserf-proto.workspace = true\nsim = { path = \"\" }\n\n[dev-dependencies]\nserf-tests = \"\"\n";
    assert_eq!(our_crates(manifest), ["serf-proto", "sim"]);
}

#[test]
fn a_breach_is_found_however_it_is_written() {
    let exports = BTreeMap::from([("Tags".to_owned(), "types::Tags".to_owned())]);
    let breaches = |module, text| breaches(module, &strip(text), &exports);
    assert_eq!(breaches("swim", "use crate::serf::Serf;"), ["serf::Serf"]);
    assert_eq!(breaches("swim", "use crate::{core::Core, node};"), ["node"]);
    assert_eq!(breaches("swim", "use crate::{\n    core::{Core, Ask},\n    wire::{native, serf},\n};"), ["wire::serf"]);
    assert_eq!(breaches("swim", "fn f() { crate::outbox::Outbox::new(); }"), ["outbox::Outbox"]);
    assert_eq!(breaches("swim", "use crate::envelope::{Packer, seal};"), ["envelope::seal"]);
    assert_eq!(breaches("wire", "let t = crate::Tags::default();"), ["types::Tags"]);
    assert_eq!(breaches("serf", "use crate::wire::{self};\nuse crate::wire::swim::State;"), ["wire::swim"]);
    assert_eq!(breaches("swim", "// use crate::serf\n/// [`crate::node`]\nuse crate::core::Core;"), [""; 0]);
    assert_eq!(breaches("swim", "#[cfg(test)]\nmod tests {\n    use crate::serf;\n}"), [""; 0]);
    assert_eq!(breaches("node", "use crate::{serf::Serf, swim::Swim};"), [""; 0]);
}

#[test]
fn a_walk_through_a_hash_table_is_found() {
    let text = "struct S { by_name: HashTable<u32> }\nfn f(s: &S) { for x in s.by_name.iter() {} }";
    assert_eq!(walked_tables(text), ["by_name"]);
    let text = "let mut seen = hashbrown::HashSet::new();\nseen.retain(|x| true);";
    assert_eq!(walked_tables(text), ["seen"]);
    assert_eq!(walked_tables("struct S { by_name: HashTable<u32> }\nfn f(s: &S) { s.by_name.find(1); }"), [""; 0]);
}

#[test]
fn blocking_calls_are_found_however_they_are_named() {
    assert_eq!(waits("use std::{fs, io};\nfn f() { fs::read(x); }"), ["fs"]);
    assert_eq!(waits("fn f(file: &std::fs::File) { file.sync_all(); }"), ["fs", "File", "sync_all"]);
    assert_eq!(waits("fn f() { eprintln!(\"x\"); io::stderr(); }"), ["eprintln!", "stderr"]);
    assert_eq!(waits("fn offset(files: Files) { keyring_fs(); }"), [""; 0]);
}

#[test]
fn words_are_found_as_words() {
    assert!(contains_word("use std::time;", "std::"));
    assert!(!contains_word("a_std::time", "std::"));
    assert!(contains_word("Instant::now()", "Instant::now"));
}
