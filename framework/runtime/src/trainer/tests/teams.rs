//! Jobs of several processes, here as threads.

use super::*;

/// A job of several processes: what they saw, and the bytes of the model.
fn team_of(size: usize, setting: &Setting<'_>, stop_after: Option<u64>, folder: &Path) -> Vec<Watch> {
    ThreadTeam::run(size, |team| {
        tch::set_num_threads(1);
        let mut watch = Watch { stop_after, ..Watch::default() };
        run_as(team.as_ref(), setting, folder, &mut watch).unwrap();
        watch
    })
}

#[test]
fn processes_train_as_one_does() {
    for (optimizer, tied) in [(Tested::AdamW, true), (Tested::AdamW, false), (Tested::Muon, false)] {
        let setting = Setting { optimizer, ..setting(tied) };
        let alone = tempfile::tempdir().unwrap();
        let [one] = <[Watch; 1]>::try_from(team_of(1, &setting, None, alone.path())).ok().unwrap();
        for size in [2, 3] {
            let folder = tempfile::tempdir().unwrap();
            let watches = team_of(size, &setting, None, folder.path());
            for watch in &watches {
                assert_eq!(watch.points, watches[0].points, "processes see the same");
            }
            for (found, expected) in watches[0].points.iter().zip(&one.points) {
                assert_eq!(
                    (found.tokens, found.flops, found.lr),
                    (expected.tokens, expected.flops, expected.lr)
                );
                assert!((found.loss - expected.loss).abs() < 1e-3, "{found:?}, {expected:?}");
            }
        }
    }
}

#[test]
fn with_parts_in_a_fixed_order_any_number_of_processes_trains_the_same_bits() {
    for optimizer in [Tested::AdamW, Tested::Muon] {
        let setting = Setting { optimizer, gradient_parts: Some(4), dropout: 0.1, ..setting(false) };
        let trained = |size| {
            let folder = tempfile::tempdir().unwrap();
            let watches = team_of(size, &setting, None, folder.path());
            (weights(folder.path()), watches[0].points.clone())
        };
        let one = trained(1);
        assert_eq!(trained(2), one);
        assert_eq!(trained(4), one);
    }
}

#[test]
fn a_job_goes_on_with_another_number_of_processes() {
    let setting = Setting { gradient_parts: Some(4), ..setting(true) };
    let straight = tempfile::tempdir().unwrap();
    team_of(1, &setting, None, straight.path());
    let folder = tempfile::tempdir().unwrap();
    for (size, stop_after) in [(4, Some(5)), (1, Some(9)), (2, Some(14)), (4, None)] {
        let watches = team_of(size, &setting, stop_after, folder.path());
        assert!(watches.iter().all(|watch| watch.resumed_at == watches[0].resumed_at));
    }
    assert_eq!(weights(folder.path()), weights(straight.path()));
}

#[test]
fn parts_that_cannot_be_shared_out_are_refused() {
    let setting = Setting { gradient_parts: Some(4), ..setting(true) };
    let folder = tempfile::tempdir().unwrap();
    let refused = ThreadTeam::run(3, |team| {
        run_as(team.as_ref(), &setting, folder.path(), &mut Watch::default()).unwrap_err().to_string()
    });
    assert!(
        refused[2].contains("gradient_parts is 4") && refused[2].contains("3 processes"),
        "{}",
        refused[2]
    );
}
