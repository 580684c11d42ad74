//! What tests of fused operations share: the same result, and the same gradient of everything, as a composition.

use tch::Tensor;

/// Numbers that differ from each other, and from those of another seed.
pub(crate) fn random(seed: u64, shape: &[i64]) -> Tensor {
    let count = shape.iter().product::<i64>();
    let values: Vec<f32> =
        (0..count).map(|i| ((i as f64 + 1.0) * (seed as f64 + 0.7)).sin() as f32).collect();
    Tensor::from_slice(&values).view(shape)
}

/// Asserts that two functions agree in all outputs and in the gradients of all inputs.
pub(crate) fn equal_with_gradients(
    inputs: &[Tensor],
    one: impl Fn(&[Tensor]) -> Vec<Tensor>,
    other: impl Fn(&[Tensor]) -> Vec<Tensor>,
) {
    let run = |of: &dyn Fn(&[Tensor]) -> Vec<Tensor>| {
        let leaves: Vec<Tensor> =
            inputs.iter().map(|it| it.detach().copy().set_requires_grad(true)).collect();
        let outputs = of(&leaves);
        let weighed =
            outputs.iter().enumerate().map(|(i, it)| (it * random(50 + i as u64, &it.size())).sum(it.kind()));
        weighed.reduce(|a, b| a + b).expect("there are outputs").backward();
        let grads = leaves.iter().map(Tensor::grad).filter(Tensor::defined);
        outputs.iter().map(Tensor::detach).chain(grads).collect::<Vec<_>>()
    };
    let (ours, expected) = (run(&one), run(&other));
    assert_eq!(ours.len(), expected.len());
    for (index, (ours, expected)) in ours.iter().zip(&expected).enumerate() {
        let scale = expected.abs().max().double_value(&[]).max(1e-3);
        let difference = (ours - expected).abs().max().double_value(&[]) / scale;
        assert!(difference < 2e-5, "output or gradient {index} differs by {difference} of its largest");
    }
}
