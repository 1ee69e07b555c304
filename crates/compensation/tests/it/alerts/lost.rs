//! Alerts that neither MySQL nor the spool takes: an operator sees that there were some.

use super::{Desk, SOON, quick};
use compensation::alerts::{
    Alert, Courier, Folder, Severity, Spool,
    incidents::{self, Show},
    raise,
};
use metrics_exporter_prometheus::PrometheusBuilder;
use service_kit::settings::{Alerts, ChannelKind};
use sqlx::{MySqlPool, mysql::MySqlPoolOptions};
use std::{fs, os::unix::fs::MetadataExt as _, time::Duration};
use testkit::{eventually, proxy::Proxy, webhooks::Receiver};

fn alert(severity: Severity, number: usize) -> Alert {
    Alert::new("figure", severity, &format!("queue {number}"), "It is long")
}

/// MySQL as a process sees it that is cut off from it.
async fn cut_off(desk: &Desk) -> (Proxy, MySqlPool) {
    let proxy = Proxy::start(desk.schema.address()).await;
    let mut settings = desk.schema.settings.clone();
    settings.port = proxy.address().port();
    let db = MySqlPoolOptions::new()
        .acquire_timeout(Duration::from_millis(100))
        .connect_lazy_with(service_kit::mysql::options(&settings));
    proxy.cut();
    (proxy, db)
}

/// What operators see once these couriers and a folder worked: severity and title of each incident, and how many alerts it has.
async fn shown(desk: &Desk, couriers: &[Courier]) -> Vec<(Severity, String, u64)> {
    let folder = Folder::new(desk.db().clone(), &Alerts::default(), &desk.channels);
    for courier in couriers {
        let _ = courier.run_once().await;
    }
    folder.run_once().await.unwrap();
    let all = incidents::list(desk.db(), Show::Open, 100, None)
        .await
        .unwrap();
    let of_lost = all.into_iter().filter(|it| it.group == "system/alerts");
    of_lost
        .map(|it| (it.severity, it.title, u64::from(it.alerts)))
        .collect()
}

/// Breaks when what the spool refuses is not counted, or in mind alone: the process ends before MySQL answers. When all severities share the
/// spool's room, when the file is made only when it is needed, and when what was told of is neither cleared nor told of under its own id.
#[tokio::test]
async fn what_neither_mysql_nor_the_spool_takes_is_counted_and_told_of_by_whoever_comes_next() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    desk.courier(quick()).run_once().await.unwrap();
    let file = || fs::metadata(desk.folder.path().join("alerts/lost")).unwrap();
    let before = file();
    assert_eq!(before.len(), 4096, "it is there before it is needed");

    let (_proxy, db) = cut_off(&desk).await;
    let spool = desk.spool().holding(10);
    let recorder = PrometheusBuilder::new().build_recorder();
    let measured = recorder.handle();
    let counting = metrics::set_default_local_recorder(&recorder);
    let mut refused = [0, 0];
    for number in 0..12 {
        let kept = raise(&db, &spool, &alert(Severity::Warning, number)).await;
        refused[0] += usize::from(kept.is_err());
    }
    for number in 0..3 {
        let urgent = alert(Severity::Urgent, number);
        let kept = raise(&db, &spool, &urgent).await;
        refused[1] += usize::from(kept.is_err());
        // Whoever finds no place tries again: it is one alert.
        let _ = raise(&db, &spool, &urgent).await;
    }
    drop(counting);
    assert_eq!(refused, [3, 2], "the last one is for what is urgent");
    let scraped = measured.render();
    for figure in [
        r#"alerts_lost_total{severity="warning"} 3"#,
        r#"alerts_lost_total{severity="urgent"} 2"#,
    ] {
        assert!(scraped.contains(figure), "{scraped}");
    }
    let after = file();
    assert_eq!((after.ino(), after.len()), (before.ino(), before.len()));

    // That process ends; others reach MySQL.
    drop((spool, db));
    let couriers = [desk.courier(quick()), desk.courier(quick())];
    let lost = [(Severity::Urgent, "5 alerts were lost".to_owned(), 1)];
    for _ in 0..3 {
        assert_eq!(shown(&desk, &couriers).await, lost);
    }
    eventually("people are told", SOON, || async {
        let _ = shown(&desk, &couriers).await;
        let told = hook.requests();
        told.iter()
            .any(|it| it.text().contains("5 alerts were lost") && it.text().contains("5 figure"))
            .then_some(())
    })
    .await;
}

/// Breaks when what the disk does not take is forgotten, and when what MySQL does not take is not put back.
#[tokio::test]
async fn where_the_disk_fails_as_well_the_process_remembers_until_mysql_answers() {
    let hook = Receiver::start().await;
    let desk = Desk::with(&[("ops", ChannelKind::Webhook, &hook)]).await;
    let (proxy, db) = cut_off(&desk).await;
    let no_folder = desk.folder.path().join("alerts");
    fs::write(&no_folder, "no folder").unwrap();
    let spool = Spool::new(no_folder.join("below"));
    let lost = alert(Severity::Warning, 1);
    assert!(raise(&db, &spool, &lost).await.is_err());
    let courier = [Courier::with_policy(
        db,
        &desk.channels,
        spool,
        "test",
        quick(),
    )];
    assert!(shown(&desk, &courier).await.is_empty());
    // It answers, and takes nothing yet.
    desk.schema
        .execute("rename table alerts to alerts_elsewhere")
        .await;
    proxy.open();
    eventually("it is tried", SOON, || async {
        let tried = courier[0].run_once().await;
        format!("{:#}", tried.unwrap_err())
            .contains("alerts' doesn't exist")
            .then_some(())
    })
    .await;
    desk.schema
        .execute("rename table alerts_elsewhere to alerts")
        .await;
    let told = eventually("it is told of", SOON, || async {
        Some(shown(&desk, &courier).await).filter(|it| !it.is_empty())
    })
    .await;
    let expected = (Severity::Urgent, "1 alert was lost".to_owned(), 1);
    assert_eq!(told, [expected]);
}
