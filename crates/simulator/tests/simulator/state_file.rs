//! Settings, and the state file.

use std::path::Path;

use sharewarden_simulator::{Account, Image, Simulator, SimulatorSettings, sample};
use tokio::net::TcpListener;

use crate::harness::*;

fn kept_in(folder: &Path) -> SimulatorSettings {
    SimulatorSettings {
        state_file: Some(folder.join("state.json")),
        ..quick()
    }
}

async fn refused(settings: SimulatorSettings) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Simulator::start(listener, settings).await.unwrap_err().to_string()
}

#[tokio::test]
async fn shares_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let sim = start_with(kept_in(folder.path())).await;
    share(&client(&sim, OWNER, FRANKFURT), IMAGE, RECIPIENT, true)
        .await
        .unwrap();
    sim.shutdown().await;
    let sim = start_with(kept_in(folder.path())).await;
    assert_eq!(
        sim.shared_accounts(OWNER, FRANKFURT, IMAGE),
        [RECIPIENT.to_owned()].into()
    );
    sim.shutdown().await;
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing lies beside the file"
    );
}

/// Also after a SIGKILL, the file has every change that was confirmed.
#[tokio::test]
async fn a_change_is_in_the_file_before_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let sim = start_with(kept_in(folder.path())).await;
    let owner = client(&sim, OWNER, FRANKFURT);
    let racing: Vec<_> = (0..20)
        .map(|number| {
            let (owner, path) = (owner.clone(), folder.path().join("state.json"));
            tokio::spawn(async move {
                let account = format!("{number:012}");
                share(&owner, IMAGE, &account, true).await.unwrap();
                assert!(std::fs::read_to_string(path).unwrap().contains(&account));
            })
        })
        .collect();
    for task in racing {
        task.await.unwrap();
    }
    sim.shutdown().await;
}

#[tokio::test]
async fn accounts_added_in_process_are_saved_at_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let sim = start_with(kept_in(folder.path())).await;
    sim.add_account(Account::new("252525252525")).unwrap();
    sim.shutdown().await;
    let sim = start_with(kept_in(folder.path())).await;
    assert!(sim.state().accounts.contains(&Account::new("252525252525")));
    sim.shutdown().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_an_internal_error() {
    let folder = tempfile::tempdir().unwrap();
    let sim = start_with(kept_in(&folder.path().join("missing"))).await;
    let answer = share(&client(&sim, OWNER, FRANKFURT), IMAGE, RECIPIENT, true).await;
    assert_eq!(answer.unwrap_err(), "InternalServerException");
    shared_with(&client(&sim, OWNER, FRANKFURT), IMAGE)
        .await
        .expect("reading needs no file");
}

#[tokio::test]
async fn a_malformed_state_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("state.json"), "{\"accounts\": [").unwrap();
    assert!(refused(kept_in(folder.path())).await.contains("state.json"));
}

#[tokio::test]
async fn invalid_settings_are_refused() {
    let account = SimulatorSettings {
        accounts: vec![Account::new("12")],
        ..quick()
    };
    assert!(refused(account).await.contains("twelve digits"));
    let with_image = |image| {
        let mut settings = quick();
        settings.images.push(image);
        settings
    };
    assert!(
        refused(with_image(Image::new(FRANKFURT, "nonsense", OWNER)))
            .await
            .contains("wsi-")
    );
    assert!(
        refused(with_image(Image::new("Frankfurt", "wsi-basewin12", OWNER)))
            .await
            .contains("Region")
    );
    assert!(
        refused(with_image(Image::new(FRANKFURT, "wsi-basewin12", "999988887777")))
            .await
            .contains("owner")
    );
    assert!(
        refused(with_image(Image::new(FRANKFURT, IMAGE, OWNER)))
            .await
            .contains("twice")
    );
}

#[tokio::test]
async fn settings_are_read_from_a_json_file_and_unknown_members_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.json");
    std::fs::write(&path, serde_json::to_string(&sample()).unwrap()).unwrap();
    assert_eq!(SimulatorSettings::read(&path).unwrap().images, sample_images(&path));
    let few = r#"{"accounts":[{"id":"000011112222"}],"images":[]}"#;
    std::fs::write(&path, few).unwrap();
    assert_eq!(SimulatorSettings::read(&path).unwrap().accounts, [Account::new(ZEROS)]);
    std::fs::write(&path, r#"{"acounts":[]}"#).unwrap();
    assert!(
        SimulatorSettings::read(&path)
            .unwrap_err()
            .to_string()
            .contains("acounts")
    );
}

/// The images in the file. Their creation time is the time of the sample.
fn sample_images(path: &Path) -> Vec<Image> {
    let value: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    serde_json::from_value(value["images"].clone()).unwrap()
}
