//! `serf completions`
//!
//! Generates the scripts from the usage texts ([`Usage`](super::usage::Usage)). `clap_complete` supports only flags
//! with two dashes; serf's are documented and typed with one. Other commands pay nothing: the text is built on demand.

use std::ffi::OsString;

use super::usage::OptionHelp;
use super::{COMMANDS, Command, Environment, Failure, Outcome, Terminal};
use crate::flags;

pub(super) const COMMAND: Command =
    Command { name: "completions", synopsis: "Prints completions for a shell", usage: || USAGE, run };

fn run(args: &[OsString], _env: &Environment, terminal: &mut Terminal<'_>) -> Outcome {
    let script = match flags::parse(&mut [], args)? {
        [shell] if shell == "bash" => bash(),
        [shell] if shell == "zsh" => zsh(),
        [shell] if shell == "fish" => fish(),
        _ => return Err(Failure::Misuse("One of bash, zsh and fish must be specified.")),
    };
    terminal.bytes(script.as_bytes());
    Ok(())
}

/// The values of a flag or of a positional argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Values {
    /// One of these words, separated by blanks.
    Words(&'static str),
    /// A path.
    Files,
    /// The name of a member, from the agent.
    Members,
    /// The name of a tag of the agent.
    Tags,
    /// A network interface of this host.
    Interfaces,
    /// Anything.
    Free,
}

impl Values {
    /// The values of a flag; `None` for a flag without one.
    fn of_option(option: &OptionHelp) -> Option<Self> {
        let value = option.value.as_ref()?;
        Some(match (option.name.as_str(), value.text.as_str()) {
            ("format", _) => Self::Words("text json"),
            ("log-level", _) => Self::Words("trace debug info warn err"),
            ("log-format", _) => Self::Words("text json"),
            ("profile", _) => Self::Words("lan wan local"),
            ("coalesce", _) => Self::Words("true false"),
            ("status", _) => Self::Words("alive leaving left failed"),
            ("delete", _) => Self::Tags,
            ("iface" | "mdns-iface", _) => Self::Interfaces,
            ("event-handler", _) | (_, "path") => Self::Files,
            ("node", "NAME") => Self::Members,
            _ => Self::Free,
        })
    }

    /// The values of the positional arguments.
    fn of_arguments(command: &str) -> Self {
        match command {
            "force-leave" | "rtt" | "why" => Self::Members,
            "completions" => Self::Words("bash zsh fish"),
            "config" | "man" => Self::Files,
            _ => Self::Free,
        }
    }

    fn bash(self) -> String {
        match self {
            Self::Words(words) => format!("COMPREPLY=($(compgen -W \"{words}\" -- \"$cur\"))"),
            Self::Files => "_serf_complete_files \"$cur\"".into(),
            Self::Tags => "_serf_complete_lines \"$cur\" < <(_serf_tags)".into(),
            Self::Interfaces => format!("_serf_complete_lines \"$cur\" < <({INTERFACES})"),
            Self::Members => "_serf_complete_lines \"$cur\" < <(_serf_members)".into(),
            Self::Free => ":".into(),
        }
    }

    fn zsh(self) -> String {
        match self {
            Self::Words(words) => format!("compadd -- {words}"),
            Self::Files => "_files".into(),
            Self::Tags => "compadd -- ${(f)\"$(_serf_tags)\"}".into(),
            Self::Interfaces => format!("compadd -- ${{(f)\"$({INTERFACES})\"}}"),
            Self::Members => "compadd -- ${(f)\"$(_serf_members)\"}".into(),
            Self::Free => ":".into(),
        }
    }

    fn fish(self) -> String {
        match self {
            Self::Words(words) => format!(" -x -a '{words}'"),
            Self::Files => " -r -F".into(),
            Self::Tags => " -x -a '(__serf_tags)'".into(),
            Self::Interfaces => format!(" -x -a '({INTERFACES})'"),
            Self::Members => " -x -a '(__serf_members)'".into(),
            Self::Free => " -x".into(),
        }
    }
}

/// The arms of a `case` over command and flag, each with its values.
fn value_arms(act: fn(Values) -> String) -> String {
    let mut arms = String::new();
    for command in COMMANDS {
        for option in command.described().options {
            if let Some(values) = Values::of_option(&option) {
                arms.push_str(&format!("        '{} -{}') {}; return ;;\n", command.name, option.name, act(values)));
            }
        }
    }
    arms
}

/// The arms of a `case` over commands, each with the values of its arguments.
fn argument_arms(act: fn(Values) -> String) -> String {
    let arms = COMMANDS.iter().filter_map(|command| match Values::of_arguments(command.name) {
        Values::Free => None,
        values => Some(format!("        {}) {} ;;\n", command.name, act(values))),
    });
    arms.collect()
}

fn bash() -> String {
    let names: Vec<_> = COMMANDS.iter().map(|command| command.name).collect();
    let mut flags = String::new();
    for command in COMMANDS {
        let all: Vec<_> = command.described().options.iter().map(|option| format!("-{}", option.name)).collect();
        flags.push_str(&format!("        {}) flags='{}' ;;\n", command.name, all.join(" ")));
    }
    format!(
        r#"# Completions of serf for bash: source this, or put it into the directory of bash-completion as "serf".

# Failures are told on the output, too.
_serf_members() {{
    local members
    members=$(serf members 2>/dev/null) && sed 's/  .*//' <<<"$members"
}}

{tags}
# Names come from anybody who has joined: `compgen -W` would run what is in them.
_serf_complete_lines() {{
    local line
    while IFS= read -r line; do
        if [[ $line == "$1"* ]]; then COMPREPLY+=("$(printf %q "$line")"); fi
    done
}}

# A directory goes on with "/" instead of a blank.
_serf_complete_files() {{
    compopt -o filenames 2>/dev/null
    local file
    while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -f -- "$1")
}}

_serf() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} flag=${{COMP_WORDS[COMP_CWORD - 1]}} command=${{COMP_WORDS[1]}} flags=
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "{names} --help --version" -- "$cur"))
        return
    fi
    # "-flag=value" may come as three words.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $flag == = ]]; then
        flag=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    # A handler has "=" and ":" of its own, at which bash divides words.
    local line=${{COMP_LINE-}}
    local word=${{line:0:${{COMP_POINT:-0}}}}
    if [[ $command == agent && ${{word##* }} == -*event-handler=* ]]; then
        [[ $cur == : ]] && cur=
        _serf_complete_files "$cur"
        return
    fi
    case "$command ${{flag/#--/-}}" in
{values}    esac
    if [[ $cur == -* ]]; then
        case $command in
{flags}        esac
        COMPREPLY=($(compgen -W "$flags" -- "${{cur/#--/-}}"))
        return
    fi
    # It takes one name.
    if [[ $command == force-leave && COMP_CWORD -gt 2 && ${{COMP_WORDS[COMP_CWORD - 1]}} != -* ]]; then return; fi
    case $command in
{arguments}    esac
}}

complete -F _serf serf
"#,
        tags = tags("_serf_tags()", "{", "}"),
        names = names.join(" "),
        values = value_arms(Values::bash),
        arguments = argument_arms(Values::bash),
    )
}

fn zsh() -> String {
    // As `name:description`, in single quotes.
    let item = |name: &str, help: &str| {
        let [name, help] = [name, help].map(|text| text.replace(':', "\\:").replace('\'', "'\\''"));
        format!("'{name}:{help}'")
    };
    let commands: Vec<_> = COMMANDS.iter().map(|command| item(command.name, command.synopsis)).collect();
    let mut flags = String::new();
    for command in COMMANDS {
        let options = command.described().options;
        let all: Vec<_> = options.iter().map(|option| item(&format!("-{}", option.name), &option.help)).collect();
        flags.push_str(&format!("        {}) flags=({}) ;;\n", command.name, all.join(" ")));
    }
    format!(
        r#"#compdef serf
# Completions of serf for zsh: put this into a directory of $fpath as "_serf".

# Failures are told on the output, too.
_serf_members() {{
    local members
    members=$(serf members 2>/dev/null) && sed 's/  .*//' <<<"$members"
}}

{tags}
_serf() {{
    local -a commands flags
    local command=${{words[2]}} flag=${{words[CURRENT-1]}}
    if (( CURRENT == 2 )); then
        commands=({commands})
        _describe command commands
        return
    fi
    if [[ $PREFIX == -*=* ]]; then
        flag=${{PREFIX%%=*}}
        compset -P '*='
    fi
    case "$command ${{flag/#--/-}}" in
{values}    esac
    if [[ $PREFIX == -* ]]; then
        case $command in
{flags}        esac
        _describe -o flag flags
        return
    fi
    case $command in
{arguments}    esac
}}

_serf "$@"
"#,
        tags = tags("_serf_tags()", "{", "}"),
        commands = commands.join(" "),
        values = value_arms(Values::zsh),
        arguments = argument_arms(Values::zsh),
    )
}

fn fish() -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let mut out = format!("{FISH_HEAD}\n{}\n", tags("function __serf_tags", "", "end"));
    for command in COMMANDS {
        let (name, synopsis) = (command.name, quoted(command.synopsis));
        out.push_str(&format!("complete -c serf -n __fish_use_subcommand -a {name} -d '{synopsis}'\n"));
    }
    for command in COMMANDS {
        let condition = format!("-n '__fish_seen_subcommand_from {}'", command.name);
        for option in command.described().options {
            let value = Values::of_option(&option).map(Values::fish).unwrap_or_default();
            let help = quoted(&option.help);
            // fish calls flags with one dash "old style".
            out.push_str(&format!("complete -c serf {condition} -o {}{value} -d '{help}'\n", option.name));
        }
        match Values::of_arguments(command.name) {
            Values::Free => {}
            values => out.push_str(&format!("complete -c serf {condition}{}\n", values.fish())),
        }
    }
    out
}

/// A shell function that lists the agent's tags.
fn tags(head: &str, open: &str, close: &str) -> String {
    let awk = "/^[^\\t]/ { on = ($0 == \"tags:\") } on && /^\\t/ { sub(/^\\t/, \"\"); sub(/ = .*/, \"\"); print }";
    format!("{head} {open}\n    serf info 2>/dev/null | awk '{awk}'\n{close}\n")
}

/// Lists network interfaces, on systems that have this directory.
const INTERFACES: &str = "ls /sys/class/net 2>/dev/null";

const FISH_HEAD: &str = r#"# Completions of serf for fish: put this into ~/.config/fish/completions as "serf.fish".

# Failures are told on the output, too.
function __serf_members
    set -l members (serf members 2>/dev/null)
    and string replace -r '  .*' '' -- $members
end

complete -c serf -f
"#;

const USAGE: &str = "
Usage: serf completions bash|zsh|fish

  Prints a script with which the shell completes commands, flags, values
  and the names of members. For bash:

  source <(serf completions bash)
";
