//! The commands that need no running server print their results as JSON lines for programs, and then no note.

use std::io::Write;

use serde_json::{Value, json};
use sharewarden_testkit::{postgres::database, stack::*};
use sqlx::{Connection, PgConnection};

use crate::processes::{output, program, stderr};

#[tokio::test]
async fn results_are_json_lines_and_nothing_else_is_printed() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let mut admin = PgConnection::connect(database.url()).await.unwrap();
    let empty = "DROP SCHEMA public, reporting CASCADE; CREATE SCHEMA public";
    sqlx::raw_sql(empty).execute(&mut admin).await.unwrap();
    admin.close().await.unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = config_text(database.url(), &simulator.url(), "log.filter = \"info\"\n");
    file.write_all(text.as_bytes()).unwrap();
    let run = async |line: &str| {
        let mut program = program();
        program.args(line.split_whitespace()).arg("--config").arg(file.path());
        output(program.args(["-o", "json"])).await
    };
    let results = async |line: &str| -> Vec<Value> {
        let output = run(line).await;
        assert_eq!(stderr(&output), "", "{line}");
        let printed = String::from_utf8(output.stdout).unwrap();
        printed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };

    let migrated = results("migrate").await;
    let (last, steps) = migrated.split_last().unwrap();
    let told = |last: &Value, applied| {
        let build = last["installation"]["build"].as_i64().unwrap();
        assert_eq!(
            (&last["databaseCreated"], &last["migrationsApplied"]),
            (&json!(false), &json!(applied))
        );
        assert_eq!(
            last["installation"],
            json!({"build": build, "schema": build, "oldestBuild": build, "running": []})
        );
    };
    told(last, steps.len());
    assert_eq!(steps[0]["migration"]["version"], 1);
    assert_eq!(steps[0]["migration"]["name"], "ledger");
    let took = |step: &Value| {
        step["migration"]["took"]
            .as_str()
            .is_some_and(|took| took.ends_with('s'))
    };
    assert!(steps.iter().all(took), "{steps:?}");
    told(&results("migrate").await[0], 0);
    let finalized = &results("finalize").await[0];
    assert_eq!(finalized["wasFinalized"], true);

    let checked = results("config check").await;
    assert_eq!((checked.len(), &checked[0]["fileRead"]), (1, &json!(file.path())));
    assert_eq!(checked[0]["config"]["log"]["filter"], "info");
    assert!(checked[0]["filesOpened"].is_array());
    assert!(!checked[0].to_string().contains(database.url()), "{}", checked[0]);

    let none = json!({"monthsArchived": 0});
    assert_eq!(results("audit archive --before 2020-01 --to /nowhere").await, [none]);

    let refused = run(&format!("audit confirm --account {ACCOUNT}")).await;
    let document: Value = serde_json::from_str(&stderr(&refused)).unwrap();
    assert!(refused.stdout.is_empty());
    assert_eq!(
        (refused.status.code(), &document["error"]["exitCode"]),
        (Some(1), &json!(1))
    );
    simulator.shutdown().await;
}
