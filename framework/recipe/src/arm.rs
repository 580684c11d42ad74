//! An arm of a recipe: a plugin, and what it trains with that the other arms do not.

use std::borrow::Cow;
use std::ops::Deref;

use sbp_plugin::registry::Slot as _;
use sbp_plugin::{Selected, slots};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::TrainingSection;

/// The option that the recipe adds to those of an arm's plugin.
const TRAINING: &str = "training";

/// One side of the comparison. Dereferences to the choice of its plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmSection {
    /// Which documents it may see.
    pub plugin: Selected<slots::Arm>,
    /// What it trains with instead of the shared settings.
    pub training: TrainingDelta,
}

impl Deref for ArmSection {
    type Target = Selected<slots::Arm>;
    fn deref(&self) -> &Self::Target {
        &self.plugin
    }
}

/// Settings of `training` that one arm has for itself. Tokens per step are not among them: they are part of the
/// budget, which the arms share.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingDelta {
    /// Learning rate at the top of the schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub peak_lr: Option<f64>,
    /// Learning rate over time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Selected<slots::Schedule>")]
    pub schedule: Option<Selected<slots::Schedule>>,
    /// How parameters are updated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Selected<slots::Optimizer>")]
    pub optimizer: Option<Selected<slots::Optimizer>>,
    /// Gradients are scaled down to this global L2 norm.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("exclusiveMinimum" = 0.0))]
    pub max_grad_norm: Option<f64>,
    /// Share of what every layer adds to the residual stream that is dropped at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: Option<f64>,
}

impl TrainingDelta {
    /// The shared settings with these laid over them.
    pub fn over(&self, shared: &TrainingSection) -> TrainingSection {
        TrainingSection {
            tokens_per_step: shared.tokens_per_step,
            peak_lr: self.peak_lr.unwrap_or(shared.peak_lr),
            schedule: self.schedule.as_ref().unwrap_or(&shared.schedule).clone(),
            optimizer: self.optimizer.as_ref().unwrap_or(&shared.optimizer).clone(),
            max_grad_norm: self.max_grad_norm.unwrap_or(shared.max_grad_norm),
            dropout: self.dropout.unwrap_or(shared.dropout),
            cross_documents: shared.cross_documents,
            precision: shared.precision,
            gradient_parts: shared.gradient_parts,
        }
    }

    /// Whether the arm trains with the shared settings.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

// By hand: a plugin's options deny unknown fields, which a flattened struct would not.
impl Serialize for ArmSection {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        use serde::ser::Error;
        let mut object = serde_json::to_value(&self.plugin).map_err(Z::Error::custom)?;
        if let (Some(object), false) = (object.as_object_mut(), self.training.is_empty()) {
            object
                .insert(TRAINING.to_owned(), serde_json::to_value(&self.training).map_err(Z::Error::custom)?);
        }
        object.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ArmSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let mut object = Map::<String, Value>::deserialize(deserializer)?;
        let training = match object.remove(TRAINING) {
            Some(training) => serde_json::from_value(training).map_err(D::Error::custom)?,
            None => TrainingDelta::default(),
        };
        let plugin = serde_json::from_value(Value::Object(object)).map_err(D::Error::custom)?;
        Ok(Self { plugin, training })
    }
}

impl JsonSchema for ArmSection {
    fn schema_name() -> Cow<'static, str> {
        slots::Arm::NAME.into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut training = generator.subschema_for::<TrainingDelta>().to_value();
        if let Some(training) = training.as_object_mut() {
            let about = "Settings of `training` that this arm has for itself.";
            training.insert("description".to_owned(), about.into());
            training.insert("default".to_owned(), Value::Null);
        }
        let mut schema = sbp_plugin::schema::slot_schema::<slots::Arm>(generator);
        let branches = schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten();
        for branch in branches {
            if let Some(properties) = branch.pointer_mut("/then/properties").and_then(Value::as_object_mut) {
                properties.insert(TRAINING.to_owned(), training.clone());
            }
        }
        schema
    }
}
