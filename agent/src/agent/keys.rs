//! Commands on keys.

use std::collections::BTreeMap;

use serf_tokio::{CommandError, KeyOperation, KeysError};

use super::Agent;
use super::queries::PROTOCOL_QUERIES;
use crate::config::decode_base64;
use crate::rpc::KeyReport;

impl Agent {
    /// Sends `operation` to every member. Returns a report in any case; the text is empty when every member succeeded
    /// (`handleKeyRequest` in `keymanager.go`).
    pub(super) async fn keys(&self, operation: KeyOperation, key: &str) -> (String, KeyReport) {
        self.log.info(
            "agent",
            match operation {
                KeyOperation::Install => "Initiating key installation",
                KeyOperation::Use => "Initiating primary key change",
                KeyOperation::Remove => "Initiating key removal",
                KeyOperation::List => "Initiating key listing",
            },
        );
        let _one_at_a_time = self.key_operation.lock().await;
        let nothing = KeyReport::default();
        if self.protocol < PROTOCOL_QUERIES {
            return ("Feature not supported".into(), nothing);
        }
        let key = match decode_base64(key) {
            Ok(key) => key,
            Err(offset) => return (format!("illegal base64 data at input byte {offset}"), nothing),
        };
        let asked = self.reachable();
        let report = match self.serf.change_keys(operation, &key, 0).await {
            Ok(report) => report,
            // With HashiCorp's agent the members refuse the key.
            Err(CommandError::Refused(KeysError::Length { .. })) => return self.refused_by_all(BAD_KEY),
            Err(CommandError::Stopped) => {
                return ("Serf can't Join after Leave or Shutdown".into(), nothing);
            }
            Err(CommandError::Refused(error)) => return (error.to_string(), nothing),
        };
        let nodes = asked.max(report.answers.len() + report.silent.len());
        let mut reply = KeyReport {
            nodes: count(nodes),
            responses: count(report.answers.len()),
            errors: count(report.failures().count()),
            ..KeyReport::default()
        };
        for answer in &report.answers {
            if let Some(all) = answer.cut_from {
                let text = format!("truncated key list response, showing first {} of {all} keys", answer.keys.len());
                reply.messages.insert(answer.from.to_string(), text);
            }
            if !answer.message.is_empty() {
                reply.messages.insert(answer.from.to_string(), answer.message.to_string());
            }
        }
        if operation == KeyOperation::List {
            let holders = |key: &str| count(report.holders(key).count());
            reply.keys = Some(report.keys().into_iter().map(|key| (key.to_owned(), holders(key))).collect());
        }
        (failure(&reply), reply)
    }

    /// The reply for a key that no member would accept.
    fn refused_by_all(&self, why: &str) -> (String, KeyReport) {
        let alive = self.serf.members();
        let alive = alive.iter().filter(|member| member.status() == serf_tokio::Status::Alive);
        let messages: BTreeMap<_, _> = alive.map(|member| (member.name().to_owned(), why.to_owned())).collect();
        let nodes = count(messages.len());
        let reply = KeyReport { messages, nodes, responses: nodes, errors: nodes, keys: None };
        (failure(&reply), reply)
    }

    fn reachable(&self) -> usize {
        self.serf.members().iter().filter(|member| member.status() == serf_tokio::Status::Alive).count()
    }
}

fn failure(reply: &KeyReport) -> String {
    if reply.errors > 0 {
        format!("{}/{} nodes reported failure", reply.errors, reply.nodes)
    } else if reply.responses < reply.nodes {
        format!("{}/{} nodes reported success", reply.responses, reply.nodes)
    } else {
        String::new()
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const BAD_KEY: &str = "key size must be 16, 24 or 32 bytes";
