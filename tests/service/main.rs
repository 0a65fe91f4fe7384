//! End-to-end tests of the service: gRPC clients, a real Postgres and the AWS simulator, all on sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod access;
mod adoption;
mod callers;
mod changes;
mod clocks;
mod completion;
mod database_failures;
mod denials;
mod dev;
mod drift;
mod ends;
mod failures;
mod fairness;
mod gauges;
mod grants;
mod joining;
mod late_calls;
mod ledger;
mod looks;
mod maintenance;
mod many_callers;
mod outage;
mod outcome_notifications;
mod paused;
mod policy;
mod policy_claims;
mod policy_commands;
mod policy_explain;
mod policy_facts;
mod policy_record;
mod policy_reload;
mod predictions;
mod processes;
mod reads;
mod refused_databases;
mod replays;
mod replicas;
mod roles;
mod secrets;
mod shutdown;
mod throughput;
mod trail;
mod unread;
mod upgrades;
