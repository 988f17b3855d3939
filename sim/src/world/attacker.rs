//! The hostile host.

use serf_proto::{Candidate, Policy, SharedPolicy, Veto};

use super::World;
use crate::addressing::{addr_of, node_of};
use crate::command::{Command, StartFrom};
use crate::hostile::{AfterAttack, Attack, AttackMessage, Attacker, AttackerView};

impl World {
    /// Starts the process of the hostile host, which joins the cluster if `joins` is set and attacks the first
    /// `victims` nodes on command.
    pub(crate) fn start_hostile(&mut self, victims: u32, joins: bool) {
        let Some(host) = self.shared.hostile() else { return };
        let attacker = Box::new(Attacker::new(&self.shared, victims));
        let shard = &mut self.shards[self.shared.shard(host)];
        shard.hosts[self.shared.local(host)].attacker = Some(attacker);
        self.command(host, Command::Start(StartFrom::Blank));
        if joins {
            self.command(host, Command::Join { contacts: vec![0] });
        }
    }

    /// Ends the membership of the hostile host.
    pub(crate) fn end_hostile(&mut self, after_attack: AfterAttack) {
        let Some(host) = self.shared.hostile() else { return };
        match after_attack {
            AfterAttack::Stays => {}
            AfterAttack::Leaves => self.command(host, Command::Leave),
            AfterAttack::Crashes => self.command(host, Command::Crash),
        }
    }

    /// Composes one round of an attack without sending it.
    pub(crate) fn compose(&mut self, attack: Attack) -> Vec<AttackMessage> {
        let Some(id) = self.shared.hostile() else { return Vec::new() };
        let host = &mut self.shards[self.shared.shard(id)].hosts[self.shared.local(id)];
        let Some(mut attacker) = host.attacker.take() else { return Vec::new() };
        let messages =
            attacker.compose(AttackerView { shared: &self.shared, host: id, node: host.process.node.as_ref() }, attack);
        host.attacker = Some(attacker);
        messages
    }

    /// Returns the number of members that the attacker has invented.
    pub(crate) fn ghosts(&self) -> u32 {
        let attacker = self.shared.hostile().and_then(|host| self.host(host).attacker.as_ref());
        attacker.map_or(0, |attacker| attacker.ghosts_invented())
    }

    /// Gives all nodes that start from now on a policy that admits a name only at the address of its host, as an inventory
    /// of hosts would.
    pub(crate) fn admit_own_hosts_only(&mut self) {
        self.shared.policy = Some(SharedPolicy::new(OwnHostsOnly));
    }

    /// From now on it is a violation if a node loses its name in a vote.
    pub(crate) const fn expect_names_kept(&mut self) {
        self.shared.names_kept = true;
    }
}

/// See [`World::admit_own_hosts_only`].
struct OwnHostsOnly;

impl Policy for OwnHostsOnly {
    fn admits(&self, candidate: &Candidate<'_>) -> Result<(), Veto> {
        match node_of(candidate.name()) {
            Some(node) if addr_of(node) == candidate.addr() => Ok(()),
            _ => Err(Veto::new("no host of this name has this address")),
        }
    }
}
