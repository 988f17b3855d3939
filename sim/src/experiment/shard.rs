//! The share of one process of a sweep that several run: `--shard K/N`, or the index that a scheduler gives.

use core::fmt;
use core::str::FromStr;

/// One of `count` shares. Cells are assigned by their hash, so that any number of shards gives the same union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    /// From 0.
    index: u64,
    /// At least 1.
    count: u64,
}

impl Shard {
    /// The whole sweep.
    pub(crate) const ALL: Self = Self { index: 0, count: 1 };

    /// Whether a cell is of this share. `cell` is its hash in hexadecimal.
    pub(crate) fn has(self, cell: &str) -> bool {
        self.has_number(u64::from_str_radix(cell, 16).unwrap_or(0))
    }

    /// Whether the work of this number is of this share.
    pub(crate) const fn has_number(self, number: u64) -> bool {
        number % self.count == self.index
    }

    /// Returns about how many of `count` consecutive numbers are of this share.
    pub(crate) const fn share_of(self, count: u64) -> u64 {
        count.div_ceil(self.count)
    }

    /// Whether other shards have cells, too.
    pub(crate) const fn is_part(self) -> bool {
        self.count > 1
    }

    /// Reads the share that a scheduler gave this process: Kubernetes Indexed Jobs, Slurm arrays, AWS Batch arrays,
    /// Nomad, GNU parallel. `SIM_SHARDS` is the number of shards where the scheduler does not say it.
    pub(crate) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let number = |name: &str| -> Result<Option<u64>, String> {
            let Some(text) = variable(name) else { return Ok(None) };
            let number = text.trim().parse().map_err(|_| format!("{name} is {text:?}, expected a whole number"))?;
            Ok(Some(number))
        };
        let given = number("SIM_SHARDS")?;
        for (name, first, count_name) in SCHEDULERS {
            let Some(index) = number(name)? else { continue };
            let is_slurm = name == SLURM;
            let (first, step) = if is_slurm {
                (number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0), number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1))
            } else {
                (first, 1)
            };
            let count = match (given, count_name) {
                (Some(count), _) => Some(count),
                (None, Some(count_name)) => number(count_name)?,
                (None, None) => None,
            };
            // GNU parallel numbers all its jobs, also those that are no shards.
            if count.is_none() && name == PARALLEL {
                continue;
            }
            let count = count.ok_or_else(|| format!("{name} is set; set SIM_SHARDS to the number of shards, too"))?;
            let index = index.checked_sub(first).ok_or_else(|| format!("{name} is {index}, below {first}"))? / step;
            if index >= count {
                return Err(format!("{name} gives shard {} of {count}", index + 1));
            }
            return Ok(Self { index, count });
        }
        match given {
            Some(count) if count > 1 => {
                Err("SIM_SHARDS is set, but no index of a scheduler; or use --shard K/N".into())
            }
            _ => Ok(Self::ALL),
        }
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected K/N with K from 1 to N, such as 3/8".to_owned();
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let (index, count): (u64, u64) = (index.parse().map_err(|_| wrong())?, count.parse().map_err(|_| wrong())?);
        if !(1..=count).contains(&index) {
            return Err(wrong());
        }
        Ok(Self { index: index - 1, count })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

/// Variable of the index, the first index, and the variable of the number of shards, if the scheduler gives it.
const SCHEDULERS: [(&str, u64, Option<&str>); 5] = [
    ("JOB_COMPLETION_INDEX", 0, None),
    (SLURM, 0, Some("SLURM_ARRAY_TASK_COUNT")),
    ("AWS_BATCH_JOB_ARRAY_INDEX", 0, Some("AWS_BATCH_JOB_ARRAY_SIZE")),
    ("NOMAD_ALLOC_INDEX", 0, None),
    (PARALLEL, 1, None),
];

const SLURM: &str = "SLURM_ARRAY_TASK_ID";
const PARALLEL: &str = "PARALLEL_SEQ";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<String, String> {
        let find =
            |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        Shard::of_environment(find).map(|shard| shard.to_string())
    }

    #[test]
    fn each_cell_is_in_one_shard_whatever_their_number() {
        let cells: Vec<String> =
            (0..100_u64).map(|n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        for count in [1, 2, 7] {
            for cell in &cells {
                let having = (0..count).filter(|index| Shard { index: *index, count }.has(cell)).count();
                assert_eq!(having, 1, "{cell} of {count}");
            }
        }
    }

    #[test]
    fn schedulers_give_index_and_number_of_shards() {
        for (variables, shard) in [
            (&[][..], "1/1"),
            (&[("JOB_COMPLETION_INDEX", "0"), ("SIM_SHARDS", "4")], "1/4"),
            (&[("SLURM_ARRAY_TASK_ID", "7"), ("SLURM_ARRAY_TASK_MIN", "5"), ("SLURM_ARRAY_TASK_COUNT", "4")], "3/4"),
            (&[("SLURM_ARRAY_TASK_ID", "8"), ("SLURM_ARRAY_TASK_STEP", "4"), ("SLURM_ARRAY_TASK_COUNT", "3")], "3/3"),
            (&[("AWS_BATCH_JOB_ARRAY_INDEX", "9"), ("AWS_BATCH_JOB_ARRAY_SIZE", "10")], "10/10"),
            (&[("NOMAD_ALLOC_INDEX", "1"), ("SIM_SHARDS", "2")], "2/2"),
            (&[("PARALLEL_SEQ", "3"), ("SIM_SHARDS", "4")], "3/4"),
            (&[("PARALLEL_SEQ", "3")], "1/1"),
        ] {
            assert_eq!(read(variables), Ok(shard.to_owned()), "{variables:?}");
        }
    }

    #[test]
    fn an_index_without_a_number_or_beyond_it_is_refused() {
        for variables in [
            &[("JOB_COMPLETION_INDEX", "0")][..],
            &[("JOB_COMPLETION_INDEX", "4"), ("SIM_SHARDS", "4")],
            &[("JOB_COMPLETION_INDEX", "x"), ("SIM_SHARDS", "4")],
            &[("PARALLEL_SEQ", "0"), ("SIM_SHARDS", "4")],
            &[("SIM_SHARDS", "4")],
        ] {
            assert!(read(variables).is_err(), "{variables:?}");
        }
        for text in ["0/4", "5/4", "1", "1/0", "a/b", "-1/4", ""] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert_eq!("4/4".parse::<Shard>().map(|shard| shard.to_string()), Ok("4/4".to_owned()));
    }
}
