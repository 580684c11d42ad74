//! Gradients of a step.

use super::*;

#[test]
fn gradients_equal_those_of_plain_autograd() {
    for tied in [true, false] {
        let (dims, parameters) = tiny_parameters(tied);
        let mut examples = Repeated.batch(0).unwrap();
        // Half a document without weight, as the seed of a pair has none.
        let half = examples[0].loss_weights.len() / 2;
        examples[0].loss_weights[..half].fill(0.0);
        let plain = differentiation(&parameters, dims);
        let whole = plain.of_step(1, &examples).unwrap();
        let in_parts = Differentiation { most_tokens: Some(20), ..differentiation(&parameters, dims) };
        let in_parts = in_parts.of_step(1, &examples).unwrap();

        let (mut sum, mut total) = (Tensor::from(0.0_f32), 0.0);
        for example in &examples {
            let n = example.num_predictions();
            let tokens = Tokens::lay_out(&[&example.tokens[..n]], &plain.rotary, Device::Cpu).unwrap();
            let mut stream =
                Stream::new(embedded(&parameters, &tokens, &dims, Kind::Float).unwrap()).unwrap();
            for index in 0..dims.layers {
                let layer = Layer::new(&parameters, index, &dims, Kind::Float).unwrap();
                stream = layer.forward(&stream, &tokens, dims.eps, &Dropout::NONE).unwrap();
            }
            let hidden = Last::new(&parameters, &dims, Kind::Float).unwrap().forward(&stream).unwrap();
            let logits = hidden.matmul(&parameters.head().tr());
            let targets: Vec<i64> = example.tokens[1..].iter().copied().map(i64::from).collect();
            let picked = logits.log_softmax(-1, Kind::Float).gather(
                1,
                &Tensor::from_slice(&targets).unsqueeze(1),
                false,
            );
            sum -= (picked.squeeze_dim(1) * Tensor::from_slice(&example.loss_weights[1..])).sum(Kind::Float);
            total += example.loss_weights.iter().sum::<f32>();
        }
        let expected = sum / f64::from(total);
        expected.backward();
        assert!((whole.loss - expected.double_value(&[])).abs() < 1e-5);
        assert!((whole.loss - in_parts.loss).abs() < 1e-6);
        for (name, tensor) in parameters.iter() {
            for found in [&whole.of[name], &in_parts.of[name]] {
                let difference = (found - tensor.grad()).abs().max().double_value(&[]);
                assert!(difference < 1e-5, "{name} differs by {difference}");
            }
        }
    }
}

#[test]
fn layers_computed_twice_give_the_same_gradients_bit_by_bit() {
    for tied in [true, false] {
        let (dims, parameters) = tiny_parameters(tied);
        let examples = Repeated.batch(0).unwrap();
        // With dropout too: the second time drops the same.
        for share in [0.0, 0.3] {
            let gradients = |recompute| {
                let dropout = (share, RootSeed(1));
                let how = Differentiation { recompute, dropout, ..differentiation(&parameters, dims) };
                how.of_step(1, &examples).unwrap()
            };
            let (kept, twice) = (gradients(false), gradients(true));
            assert_eq!(kept.loss, twice.loss);
            assert_eq!(kept.of.len(), twice.of.len());
            for (name, grad) in &kept.of {
                assert!(grad.equal(&twice.of[name]), "{name} differs");
            }
        }
    }
}

#[test]
fn dropout_changes_a_step_and_follows_its_seed() {
    let (dims, parameters) = tiny_parameters(true);
    let examples = Repeated.batch(0).unwrap();
    let loss = |share, seed| {
        let how = Differentiation { dropout: (share, RootSeed(seed)), ..differentiation(&parameters, dims) };
        how.of_step(1, &examples).unwrap().loss
    };
    assert_eq!(loss(0.3, 1), loss(0.3, 1));
    assert_ne!(loss(0.3, 1), loss(0.3, 2));
    assert_ne!(loss(0.3, 1), loss(0.0, 1));
}

#[test]
fn bf16_is_near_f32() {
    for tied in [true, false] {
        let (dims, parameters) = tiny_parameters(tied);
        let examples = Repeated.batch(0).unwrap();
        let gradients = |kind| {
            Differentiation { kind, ..differentiation(&parameters, dims) }.of_step(1, &examples).unwrap()
        };
        let (full, half) = (gradients(Kind::Float), gradients(Kind::BFloat16));
        assert!((full.loss - half.loss).abs() < 0.02, "{} and {}", full.loss, half.loss);
        for (name, grad) in &full.of {
            assert_eq!(half.of[name].kind(), Kind::Float);
            let difference = (grad - &half.of[name]).norm().double_value(&[]) / grad.norm().double_value(&[]);
            assert!(difference < 0.05, "{name} differs by {difference} of its norm");
        }
    }
}
