//! What a launcher says in environment variables: torchrun, `srun`, `mpirun`, Kubernetes, or whoever sets the first four
//! of them by hand.

use std::time::Duration;

use crate::error::{Error, Result};

/// Port of the store where the launcher names none: c10d's own choice.
const PORT: u16 = 29_500;

/// A process among others, as its launcher started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) rank: usize,
    pub(super) size: usize,
    pub(super) local_rank: usize,
    /// Where the store is.
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether the launcher serves the store itself; else process 0 does.
    pub(super) is_served: bool,
    /// Tells this start from others at the same store.
    pub(super) attempt: String,
    /// The network interface to listen on, where somebody said so.
    pub(super) interface: Option<String>,
    /// How long to wait for the others to start.
    pub(super) start_timeout: Duration,
    /// How long another may give no sign of life.
    pub(super) timeout: Duration,
}

/// Variables that hold a process's number, the number of processes, and its number on its machine; by launcher.
const RANKS: [[&str; 3]; 4] = [
    // torchrun, PyTorchJob of Kubernetes, by hand
    ["RANK", "WORLD_SIZE", "LOCAL_RANK"],
    // Not SLURM_NTASKS, which is also set where a batch script runs a program without `srun`.
    ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"],
    ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"],
    ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"],
];

impl Launch {
    /// What the environment says; none where it speaks of no other process.
    ///
    /// # Errors
    /// When it says half of what is needed, or nonsense.
    pub(super) fn from(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let Some([rank_name, size_name, local_name]) =
            RANKS.into_iter().find(|names| variable(names[0]).is_some() && variable(names[1]).is_some())
        else {
            return match variable("RANK").xor(variable("WORLD_SIZE")) {
                Some(_) => Err(Error::Invalid(
                    "of RANK and WORLD_SIZE one is set and one is not: set both, or none to run one process"
                        .to_owned(),
                )),
                None => Ok(None),
            };
        };
        let number = |name: &str| match variable(name) {
            None => Ok(None),
            Some(value) => value.parse::<usize>().map(Some).map_err(|_| {
                Error::Invalid(format!("{name} is `{value}`, which is not a number of a process"))
            }),
        };
        let (rank, size) = (number(rank_name)?.unwrap_or(0), number(size_name)?.unwrap_or(1));
        if size < 2 {
            return Ok(None);
        }
        if rank >= size {
            return Err(Error::Invalid(format!(
                "{rank_name} is {rank} and {size_name} is {size}: ranks go from 0 to {}",
                size - 1
            )));
        }
        let host = variable("MASTER_ADDR").or_else(|| first_of(&variable("SLURM_JOB_NODELIST")?));
        let host = host.ok_or_else(|| {
            Error::Invalid(format!(
                "{size_name} is {size}, but MASTER_ADDR is not set: let it name the machine of process 0"
            ))
        })?;
        let port = match variable("MASTER_PORT") {
            None => PORT,
            Some(value) => value
                .parse()
                .map_err(|_| Error::Invalid(format!("MASTER_PORT is `{value}`, which is not a port")))?,
        };
        let part = |name: &str| variable(name).unwrap_or_default();
        let names = [
            "TORCHELASTIC_RUN_ID",
            "TORCHELASTIC_RESTART_COUNT",
            "SLURM_JOB_ID",
            "SLURM_STEP_ID",
            "SLURM_RESTART_COUNT",
        ];
        Ok(Some(Self {
            rank,
            size,
            local_rank: number(local_name)?.unwrap_or(0),
            host,
            port,
            is_served: variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|value| value == "True"),
            attempt: names.map(part).join("."),
            interface: variable("GLOO_SOCKET_IFNAME")
                .and_then(|names| names.split(',').next().map(str::to_owned)),
            start_timeout: Duration::from_secs(number("SBP_START_TIMEOUT")?.unwrap_or(300) as u64),
            timeout: Duration::from_secs(number("SBP_TEAM_TIMEOUT")?.unwrap_or(60).max(2) as u64),
        }))
    }
}

/// The first machine of a list such as `node[003-007,012],login1`.
fn first_of(nodes: &str) -> Option<String> {
    let first = nodes.split_once([',', '[']);
    match first {
        None => Some(nodes.to_owned()),
        Some((name, rest)) if nodes.as_bytes()[name.len()] == b'[' => {
            let number = rest.split([',', '-', ']']).next()?;
            Some(format!("{name}{number}"))
        }
        Some((name, _)) => Some(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn launch(variables: &[(&str, &str)]) -> Result<Option<Launch>> {
        let set: BTreeMap<&str, &str> = variables.iter().copied().collect();
        Launch::from(&|name| set.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn every_launcher_is_understood() {
        let torchrun = launch(&[
            ("RANK", "3"),
            ("WORLD_SIZE", "4"),
            ("LOCAL_RANK", "1"),
            ("MASTER_ADDR", "node7"),
            ("MASTER_PORT", "4242"),
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
            ("TORCHELASTIC_RUN_ID", "job"),
            ("TORCHELASTIC_RESTART_COUNT", "2"),
        ]);
        let torchrun = torchrun.unwrap().unwrap();
        assert_eq!((torchrun.rank, torchrun.size, torchrun.local_rank), (3, 4, 1));
        assert_eq!((torchrun.host.as_str(), torchrun.port, torchrun.is_served), ("node7", 4242, true));
        assert_eq!(torchrun.attempt, "job.2...");

        let slurm = launch(&[
            ("SLURM_PROCID", "0"),
            ("SLURM_STEP_NUM_TASKS", "2"),
            ("SLURM_LOCALID", "0"),
            ("SLURM_JOB_NODELIST", "gpu[013-014,020],x1"),
            ("SLURM_JOB_ID", "77"),
        ]);
        let slurm = slurm.unwrap().unwrap();
        assert_eq!((slurm.host.as_str(), slurm.port, slurm.is_served), ("gpu013", PORT, false));

        let mpi =
            launch(&[("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2"), ("MASTER_ADDR", "::1")]);
        assert_eq!(mpi.unwrap().unwrap().rank, 1);
    }

    #[test]
    fn one_process_is_no_team() {
        assert_eq!(launch(&[]).unwrap(), None);
        assert_eq!(launch(&[("RANK", "0"), ("WORLD_SIZE", "1")]).unwrap(), None);
        assert_eq!(launch(&[("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1")]).unwrap(), None);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let message = |variables: &[(&str, &str)]| launch(variables).unwrap_err().to_string();
        assert!(message(&[("RANK", "0")]).contains("WORLD_SIZE"));
        assert!(message(&[("RANK", "0"), ("WORLD_SIZE", "2")]).contains("MASTER_ADDR is not set"));
        assert!(message(&[("RANK", "2"), ("WORLD_SIZE", "2")]).contains("from 0 to 1"));
        assert!(message(&[("RANK", "a"), ("WORLD_SIZE", "2")]).contains("RANK is `a`"));
        let port =
            [("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", "http")];
        assert!(message(&port).contains("MASTER_PORT is `http`"));
    }

    #[test]
    fn the_first_machine_of_a_list_leads() {
        let first = |nodes: &str| first_of(nodes).unwrap();
        assert_eq!(first("a"), "a");
        assert_eq!(first("a,b"), "a");
        assert_eq!(first("n[1-3]"), "n1");
        assert_eq!(first("n[07,09]"), "n07");
        assert_eq!(first("a1,n[1-3]"), "a1");
    }
}
