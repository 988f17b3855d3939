//! A sweep: all combinations of the axes of a scenario, each with all seeds. Each cell is one run and one file.

use core::num::NonZero;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use toml::Value;

use super::assertion;
use super::document::{Axis, Document, parameters};
use super::plan::Plan;
use super::run::{Ran, run};
use super::shard::Shard;
use super::shipped;
use crate::digest::Digest;
use crate::engine::Progress;
use crate::results::{self, FORMAT, Header, Parameter, Results, VERSION};

/// All cells of a scenario.
#[derive(Debug)]
pub(crate) struct Campaign {
    /// Name of the scenario.
    pub(crate) name: String,
    configurations: Vec<Configuration>,
    seeds: Vec<u64>,
}

/// One combination of the axes.
#[derive(Debug)]
struct Configuration {
    parameters: BTreeMap<String, Parameter>,
    varied: Vec<String>,
    /// Hash of the scenario and its parameters.
    hash: String,
    plan: Plan,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell<'a> {
    scenario: &'a str,
    configuration: &'a Configuration,
    seed: u64,
}

/// How cells run.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    /// Directory of the results.
    pub(crate) directory: PathBuf,
    /// Cells that run at the same time.
    pub(crate) jobs: usize,
    /// Threads of each.
    pub(crate) threads: u32,
}

/// Receives the progress of cells.
pub(crate) trait Watcher: Sync {
    /// A running cell has reached a virtual time.
    fn progress(&self, progress: Progress);

    /// A cell has ended, or was there already.
    fn ended(&self, cell: Cell<'_>, is_fine: bool);

    /// A message for the user.
    fn note(&self, text: &str);
}

/// What became of the cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Cells that ran.
    pub(crate) ran: usize,
    /// Cells whose results were there already.
    pub(crate) kept: usize,
    /// Cells that were not run because of an interruption.
    pub(crate) left: usize,
    /// Cells with a violated rule, a missed goal or a failed assertion.
    pub(crate) findings: usize,
}

impl Campaign {
    /// Reads a scenario: a file, or else one that ships with the program.
    pub(crate) fn load(scenario: &str, sets: &[String], seeds: Option<&str>) -> Result<Self, String> {
        let path = Path::new(scenario);
        if path.is_file() || scenario.contains(['/', '.']) {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{scenario}: {error}"))?;
            let directory =
                path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            return Self::parse_named(scenario, &stem, &text, directory, sets, seeds);
        }
        let shipped = shipped::find(scenario).ok_or_else(|| {
            let known = shipped::ALL.iter().map(|shipped| shipped.name);
            format!("there is no file and no scenario {scenario:?}; {}", super::document::suggestion(scenario, known))
        })?;
        Self::parse(scenario, shipped.text, Path::new("."), sets, seeds)
    }

    /// Parses a scenario and checks all its cells. `directory` is that of files that it names.
    pub(crate) fn parse(
        name: &str,
        text: &str,
        directory: &Path,
        sets: &[String],
        seeds: Option<&str>,
    ) -> Result<Self, String> {
        Self::parse_named(name, name, text, directory, sets, seeds)
    }

    fn parse_named(
        origin: &str,
        name: &str,
        text: &str,
        directory: &Path,
        sets: &[String],
        seeds: Option<&str>,
    ) -> Result<Self, String> {
        let mut document = Document::parse(origin, text).map_err(|error| error.to_string())?;
        for set in sets {
            document.set(set).map_err(|error| error.to_string())?;
        }
        if let Some(seeds) = seeds {
            // A number is how many; a range is which.
            let which = seeds.parse::<u64>().map_or_else(|_| seeds.to_owned(), |count| format!("1..={count}"));
            document.set(&format!("seeds={which}")).map_err(|error| error.to_string())?;
        }
        Self::of(&document, name, directory).map_err(|error| error.to_string())
    }

    fn of(document: &Document, name: &str, directory: &Path) -> Result<Self, super::document::FileError> {
        let axes = document.axes()?;
        let count = axes.iter().map(|axis| axis.values.len()).try_fold(1_usize, usize::checked_mul);
        let count = count
            .filter(|count| *count <= CONFIGURATIONS_MAX)
            .ok_or_else(|| document.error("", format!("the sweep has more than {CONFIGURATIONS_MAX} combinations")))?;
        let varied: Vec<String> = axes.iter().map(|axis| axis.path.clone()).collect();
        let mut configurations = Vec::new();
        let mut scenario = name.to_owned();
        for nth in 0..count {
            let table = document.pick(&combination(&axes, nth));
            let file = document.scenario(&table)?;
            scenario = file.name.clone().unwrap_or(scenario);
            if !scenario.starts_with(char::is_alphanumeric) || scenario.contains(['/', '\\']) {
                let message =
                    format!("{scenario:?} cannot be the name of a directory; it starts with a letter or a digit");
                return Err(document.error("name", message));
            }
            let plan = Plan::new(document, &file, directory)?;
            let mut parameters = parameters(&table);
            // Part of every result, because it decides what the nodes are.
            parameters.entry("as".to_owned()).or_insert_with(|| Parameter::Text("library".to_owned()));
            if let Some(path) = &file.settings.agent_config {
                let content = std::fs::read(directory.join(path)).unwrap_or_default();
                let digest = hash(&[&String::from_utf8_lossy(&content)]);
                parameters.insert("settings.agent_config_digest".to_owned(), Parameter::Text(digest));
            }
            let hash = hash(&[&scenario, &format!("{parameters:?}")]);
            configurations.push(Configuration { parameters, varied: varied.clone(), hash, plan });
        }
        Ok(Self { name: scenario, configurations, seeds: document.seeds().to_vec() })
    }

    /// Returns all cells, in the order of configurations, then seeds.
    pub(crate) fn cells(&self) -> Vec<Cell<'_>> {
        let scenario = &*self.name;
        let of = |configuration| self.seeds.iter().map(move |&seed| Cell { scenario, configuration, seed });
        self.configurations.iter().flat_map(of).collect()
    }

    /// Replaces the seeds by 1 to `count`.
    pub(crate) fn set_seeds(&mut self, count: usize) {
        self.seeds = (1..).take(count).collect();
    }

    /// Returns phase and name of the metrics of these names; without any, of the 99th percentiles.
    pub(crate) fn metrics(&self, names: &[String]) -> Result<Vec<(String, String)>, String> {
        let course = &self.configurations[0].plan.course;
        if names.is_empty() {
            return Ok(assertion::tails(course));
        }
        names.iter().map(|name| assertion::metric(course, name)).collect()
    }

    /// Returns the numbers of configurations and of seeds.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.configurations.len(), self.seeds.len())
    }

    /// Returns the most nodes and the most memory of a cell.
    pub(crate) fn largest(&self) -> (u32, u64) {
        let plans = || self.configurations.iter().map(|configuration| &configuration.plan);
        (
            plans().map(|plan| plan.world.nodes).max().unwrap_or(0),
            plans().map(|plan| plan.memory_bytes).max().unwrap_or(0),
        )
    }
}

impl Cell<'_> {
    /// Returns the hash of configuration, seed and version.
    pub(crate) fn hash(&self) -> String {
        hash(&[&self.configuration.hash, &self.seed.to_string(), VERSION])
    }

    /// Returns the estimated processor time in a release build.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.configuration.plan.cpu_seconds()
    }

    /// Returns the values of the axes, and the seed.
    pub(crate) fn describe(&self) -> String {
        let Configuration { parameters, varied, .. } = self.configuration;
        let value =
            |key: &String| format!("{key}={} ", parameters.get(key).map(ToString::to_string).unwrap_or_default());
        varied.iter().map(value).collect::<String>() + &format!("seed {}", self.seed)
    }

    fn results(&self, ran: Ran) -> Results {
        let Configuration { parameters, varied, hash, plan } = self.configuration;
        Results {
            header: Header {
                format: FORMAT,
                simulator: VERSION.to_owned(),
                scenario: self.scenario.to_owned(),
                configuration: hash.clone(),
                cell: self.hash(),
                parameters: parameters.clone(),
                varied: varied.clone(),
                seed: self.seed,
                nodes_count: plan.world.nodes,
                virtual_s: ran.virtual_s,
                trace_hash: ran.trace_hash,
            },
            records: ran.records,
        }
    }
}

impl Jobs {
    /// Returns how many cells run at the same time, and with how many threads: as many as there are processors, but
    /// no more than fit into memory.
    pub(crate) fn new(
        directory: PathBuf,
        wanted: Option<usize>,
        cells: usize,
        (nodes, bytes): (u32, u64),
        available: Option<u64>,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let fitting =
            available.map_or(usize::MAX, |available| usize::try_from(available / bytes.max(1)).unwrap_or(usize::MAX));
        let jobs = wanted.unwrap_or(processors).min(cells).min(fitting).max(1);
        // Small worlds are faster on one thread, and cells never wait for each other.
        let most = (nodes / NODES_PER_THREAD).max(1);
        let threads = u32::try_from(processors / jobs).unwrap_or(1).clamp(1, most);
        Self { directory, jobs, threads }
    }

    /// Runs the cells of a shard whose results are not in the directory yet. Raising `halt` stops it; what is complete
    /// stays.
    pub(crate) fn run(
        &self,
        campaign: &Campaign,
        shard: Shard,
        watcher: &dyn Watcher,
        halt: &AtomicBool,
    ) -> Result<Outcome, String> {
        std::fs::create_dir_all(&self.directory).map_err(|error| format!("{}: {error}", self.directory.display()))?;
        let mut outcome = Outcome::default();
        let mut open = Vec::new();
        for cell in campaign.cells().into_iter().filter(|cell| shard.has(&cell.hash())) {
            match self.kept(&cell, watcher) {
                Some(results) => {
                    outcome.kept += 1;
                    outcome.findings += usize::from(!results.is_fine());
                    watcher.ended(cell, results.is_fine());
                }
                None => open.push(cell),
            }
        }
        let (next, sum) = (AtomicUsize::new(0), Mutex::new(Ok(outcome)));
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.min(open.len()) {
                scope.spawn(|| {
                    while let Some(&cell) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let ended = self.run_cell(cell, watcher, halt);
                        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                        let Ok(outcome) = &mut *sum else { return };
                        match ended {
                            Ok(Some(is_fine)) => {
                                outcome.ran += 1;
                                outcome.findings += usize::from(!is_fine);
                            }
                            Ok(None) => outcome.left += 1,
                            Err(error) => *sum = Err(error),
                        }
                    }
                });
            }
        });
        sum.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the results of a cell that an earlier call left. A damaged file is replaced.
    fn kept(&self, cell: &Cell<'_>, watcher: &dyn Watcher) -> Option<Results> {
        let path = self.directory.join(results::file_name(&cell.hash()));
        if !path.exists() {
            return None;
        }
        let mut runs = match results::read(&path) {
            Ok(runs) => runs,
            Err(error) => {
                watcher.note(&format!("{error}; the cell runs again"));
                return None;
            }
        };
        runs.pop().filter(|run| runs.is_empty() && run.header.cell == cell.hash())
    }

    /// Runs a cell and writes its results; `None` if it was stopped.
    fn run_cell(&self, cell: Cell<'_>, watcher: &dyn Watcher, halt: &AtomicBool) -> Result<Option<bool>, String> {
        if halt.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut progress = |progress| {
            watcher.progress(progress);
            halt.load(Ordering::Relaxed)
        };
        let Some(ran) = run(&cell.configuration.plan, cell.seed, self.threads, &mut progress) else { return Ok(None) };
        let results = cell.results(ran);
        results.write(&self.directory).map_err(|error| error.to_string())?;
        let is_fine = results.is_fine();
        watcher.ended(cell, is_fine);
        Ok(Some(is_fine))
    }
}

/// Returns one value of each axis: the `nth` combination, where the last axis varies fastest.
fn combination(axes: &[Axis], mut nth: usize) -> Vec<(String, Value)> {
    let mut picks = Vec::new();
    for axis in axes.iter().rev() {
        picks.push((axis.path.clone(), axis.values[nth % axis.values.len()].clone()));
        nth /= axis.values.len();
    }
    picks
}

fn hash(parts: &[&str]) -> String {
    let mut digest = Digest::default();
    parts.iter().for_each(|part| digest.fold_bytes(part.as_bytes()));
    format!("{:016x}", digest.value())
}

const CONFIGURATIONS_MAX: usize = 100_000;

const NODES_PER_THREAD: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_vary_the_last_axis_fastest_and_are_all_different() {
        let axis = |path: &str, values: &[i64]| Axis {
            path: path.to_owned(),
            values: values.iter().copied().map(Value::Integer).collect(),
        };
        let axes = [axis("a", &[1, 2]), axis("b", &[10, 20, 30])];
        let values: Vec<Vec<i64>> = (0..6)
            .map(|nth| combination(&axes, nth).iter().rev().filter_map(|(_, value)| value.as_integer()).collect())
            .collect();
        assert_eq!(values, [[1, 10], [1, 20], [1, 30], [2, 10], [2, 20], [2, 30]]);
    }

    #[test]
    fn a_cells_hash_depends_on_every_parameter_and_the_seed() {
        let text = "phases = [\"event\"]\n[cluster]\nnodes = [5, 6]\n";
        let hashes = |sets: &[&str], seeds| {
            let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
            let campaign = Campaign::parse("x", text, Path::new("."), &sets, seeds).unwrap();
            campaign.cells().iter().map(Cell::hash).collect::<Vec<_>>()
        };
        let mut all =
            [hashes(&[], Some("3")), hashes(&["network.loss=0.1"], Some("3")), hashes(&["as=hashicorp"], None)]
                .concat();
        assert_eq!(all.len(), 6 + 6 + 2);
        assert_eq!(all[..2], hashes(&[], Some("1..=2"))[..2], "the same cell has the same hash in another sweep");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 14);
    }

    #[test]
    fn jobs_are_limited_by_cells_and_by_memory() {
        let jobs =
            |wanted, cells, bytes, available| Jobs::new(PathBuf::new(), wanted, cells, (100, bytes), available).jobs;
        assert_eq!(jobs(Some(8), 3, 1, None), 3);
        assert_eq!(jobs(Some(8), 30, 100, Some(250)), 2);
        assert_eq!(jobs(Some(8), 30, 100, Some(50)), 1, "one runs in any case; the command line refuses first");
    }
}
