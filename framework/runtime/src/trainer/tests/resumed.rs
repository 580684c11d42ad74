//! Jobs that stop and go on, and checkpoints that stay.

use super::*;

#[test]
fn an_interrupted_job_ends_bit_by_bit_where_a_straight_one_does() {
    for (tied, dropout, optimizer, stops) in [
        (true, 0.0, Tested::AdamW, vec![7]),
        (false, 0.0, Tested::Muon, vec![7]),
        (true, 0.2, Tested::AdamW, (1..20).collect::<Vec<_>>()),
    ] {
        let straight = tempfile::tempdir().unwrap();
        let mut whole = Watch::default();
        let setting = Setting { dropout, optimizer, ..setting(tied) };
        let expected = run(&setting, straight.path(), &mut whole).unwrap();

        let folder = tempfile::tempdir().unwrap();
        let mut points = Vec::new();
        for (attempt, &step) in stops.iter().enumerate() {
            let mut watch = Watch { stop_after: Some(step), ..Watch::default() };
            let stopped = run(&setting, folder.path(), &mut watch).unwrap();
            assert!(matches!(stopped, TrainOutcome::Stopped { step: at, .. } if at == step));
            assert_eq!(watch.resumed_at, (attempt > 0).then(|| stops[attempt - 1]));
            assert!(!folder.path().join("checkpoint").exists());
            points.extend(watch.points);

            // What a kill leaves: the checkpoint of a step, and pieces of the next one and of the export.
            fs::create_dir_all(folder.path().join("progress/unfinished")).unwrap();
            fs::write(folder.path().join("progress/unfinished/model.safetensors"), b"half").unwrap();
            fs::create_dir_all(folder.path().join("checkpoint.unfinished/rest")).unwrap();
        }
        let mut last = Watch::default();
        assert_eq!(run(&setting, folder.path(), &mut last).unwrap(), expected);
        assert_eq!(last.resumed_at, stops.last().copied());
        points.extend(last.points);
        assert_eq!(points, whole.points);
        assert_eq!(weights(folder.path()), weights(straight.path()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_job_goes_on_with_another_batch_split() {
    let (straight, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut whole = Watch::default();
    run(&setting(true), straight.path(), &mut whole).unwrap();
    run(&setting(true), folder.path(), &mut Watch { stop_after: Some(7), ..Watch::default() }).unwrap();
    let in_parts = Setting { tokens_per_microbatch: Some(16), ..setting(true) };
    let mut rest = Watch::default();
    run(&in_parts, folder.path(), &mut rest).unwrap();
    assert_eq!(rest.resumed_at, Some(7));
    for (found, expected) in rest.points.iter().zip(&whole.points[7..]) {
        assert_eq!((found.step, found.tokens, found.flops), (expected.step, expected.tokens, expected.flops));
        assert!((found.loss - expected.loss).abs() < 1e-3, "{found:?}, {expected:?}");
    }
}

#[test]
fn checkpoints_are_written_by_the_clock_and_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let every_step = Setting { checkpoint_every_secs: 0.0, ..setting(true) };
    // A panic in an observer stands for a kill; a checkpoint on its way to the disk is brought there.
    struct Kill(u64);
    impl TrainObserver for Kill {
        fn resumed(&mut self, _: u64) {}
        fn step(&mut self, point: &TrainPoint) {
            assert!(point.step < self.0, "killed");
        }
        fn stop_requested(&self) -> bool {
            false
        }
    }
    let killed = std::panic::catch_unwind(|| {
        run_as(&Solo::default(), &every_step, folder.path(), &mut Kill(12)).map_err(|error| error.to_string())
    });
    assert!(killed.is_err());
    let mut watch = Watch::default();
    run(&setting(true), folder.path(), &mut watch).unwrap();
    assert!(watch.resumed_at.is_some_and(|step| (1..12).contains(&step)), "{:?}", watch.resumed_at);
    let straight = tempfile::tempdir().unwrap();
    run(&setting(true), straight.path(), &mut Watch::default()).unwrap();
    assert_eq!(weights(folder.path()), weights(straight.path()));
}

#[test]
fn another_job_in_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = Setting { identity: "other", ..setting(true) };
    run(&setting(true), folder.path(), &mut Watch { stop_after: Some(2), ..Watch::default() }).unwrap();
    let half_done = run(&other, folder.path(), &mut Watch::default()).unwrap_err().to_string();
    run(&setting(true), folder.path(), &mut Watch::default()).unwrap();
    let done = run(&other, folder.path(), &mut Watch::default()).unwrap_err().to_string();
    for message in [half_done, done] {
        for identity in ["job", "other"] {
            let name = Fingerprint::of_bytes(identity.as_bytes());
            assert!(message.contains(name.as_str()), "{message}");
        }
    }
}

#[test]
fn training_goes_on_from_a_checkpoint_of_the_same_shape_only() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    run(&setting(true), &base, &mut Watch::default()).unwrap();
    let checkpoint = base.join("checkpoint");
    let start = || Start::From(checkpoint.clone());

    let mut watch = Watch::default();
    let tune = Setting { start: start(), identity: "tune", ..setting(true) };
    run(&tune, &folder.path().join("tune"), &mut watch).unwrap();
    assert!(watch.points[0].loss < 2.5, "starts where the base ended: {}", watch.points[0].loss);

    let wider = ModelConfig { intermediate_size: 64, ..tiny_model(true) };
    let wider = Setting { start: start(), model: wider, ..setting(true) };
    let message = run(&wider, &folder.path().join("wider"), &mut Watch::default()).unwrap_err().to_string();
    assert!(message.contains("same shape"), "{message}");
}

#[test]
fn kept_checkpoints_stay_and_open_as_models() {
    let folder = tempfile::tempdir().unwrap();
    let named = [("warm".to_owned(), 3), ("never".to_owned(), 99)].into();
    let keep_checkpoints = KeepCheckpoints { every_steps: Some(8), named };
    let setting = Setting { keep_checkpoints, ..setting(true) };
    let mut watch = Watch { stop_after: Some(9), ..Watch::default() };
    run(&setting, folder.path(), &mut watch).unwrap();
    let mut rest = Watch::default();
    run(&setting, folder.path(), &mut rest).unwrap();

    let kept = folder.path().join("checkpoints");
    let mut names: Vec<String> =
        fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["step-000008", "step-000016", "warm"]);
    // The loss of the next step is that of the model kept before it.
    for (name, step) in [("warm", 3), ("step-000008", 8), ("step-000016", 16)] {
        let mut model = OpenedModel::open(&kept.join(name), Precision::Fp32, Device::Cpu).unwrap();
        let examples = Repeated.batch(step).unwrap();
        let (mut sum, mut total) = (0.0, 0.0);
        for example in &examples {
            let found = model.log_probs(std::slice::from_ref(&example.tokens)).unwrap().remove(0);
            let weights = &example.loss_weights[1..];
            sum -= found.iter().zip(weights).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            total += weights.iter().copied().map(f64::from).sum::<f64>();
        }
        let points: Vec<&TrainPoint> = watch.points.iter().chain(&rest.points).collect();
        let loss = points.iter().find(|point| point.step == step + 1).unwrap().loss;
        assert!((sum / total - loss).abs() < 1e-5, "{name}: {} and {loss}", sum / total);
    }
}
