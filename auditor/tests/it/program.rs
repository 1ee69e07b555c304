//! The program as a launcher sees it: exit code, JSON, one line when it cannot judge.

use crate::world::World;
use std::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_promise_is_exit_0_and_a_broken_one_exit_1() {
    let world = World::clean().await;
    let (code, json) = world.run_program().await;
    assert_eq!(code, Some(0));
    let json = json.unwrap();
    assert_eq!(json["orders"]["confirmed"], 2);
    let promises: Vec<u64> = json["verdicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|verdict| verdict["promise"].as_u64().unwrap())
        .collect();
    assert_eq!(promises, [1, 2, 3, 4, 5, 6]);

    let world = World::clean().await;
    world.hset("stock", "total 11").await;
    let (code, json) = world.run_program().await;
    assert_eq!(code, Some(1));
    let first = &json.unwrap()["verdicts"][0];
    assert_eq!(first["holds"], false);
    assert!(
        first["violations"][0]
            .as_str()
            .unwrap()
            .contains("total 11"),
        "{first}"
    );
}

#[test]
fn without_endpoints_there_is_no_verdict_but_one_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_auditor"))
        .args(["--endpoints", "/nowhere/endpoints.json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("could not audit: cannot read endpoints /nowhere"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}
