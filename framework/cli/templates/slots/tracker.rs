//! Losses as a table.

use std::fs::File;
use std::io::Write as _;

use sbp_plugin::prelude::*;
use sbp_plugin::slots::tracker::{MetricPoint, RunCard, Tracker};
use serde_json::Value;

/// Writes a table of the training losses into the run's folder, to open in a spreadsheet.
///
/// Cost: one write of about 40 bytes a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheKindConfig {
    /// Name of the file.
    pub file: String,
}

impl Default for TheKindConfig {
    fn default() -> Self {
        Self {
            file: "losses.csv".to_owned(),
        }
    }
}

impl Plugin<slots::Tracker> for TheKindConfig {
    const KIND: &'static str = "the_kind";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Tracker>> {
        Ok(Box::new(TheKind {
            name: self.file.clone(),
            file: None,
        }))
    }
}
register!(slots::Tracker => TheKindConfig);

struct TheKind {
    name: String,
    file: Option<File>,
}

impl Tracker for TheKind {
    fn started(&mut self, run: &RunCard<'_>) -> Result<()> {
        let path = run.folder.join(&self.name);
        let mut file = File::create(&path)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        writeln!(file, "stage,arm,seed,step,loss")?;
        self.file = Some(file);
        Ok(())
    }

    fn metrics(&mut self, point: &MetricPoint<'_>) -> Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        for (_, loss) in point
            .values
            .iter()
            .filter(|(name, _)| *name == "train/loss")
        {
            writeln!(
                file,
                "{},{},{},{},{loss}",
                point.stage, point.arm, point.seed, point.step
            )?;
        }
        Ok(())
    }

    fn finished(&mut self, _: &Value) -> Result<()> {
        self.file = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sbp_plugin::{entries, slots};
    use sbp_testkit::contract;

    #[test]
    fn it_keeps_the_contract_of_its_slot() {
        for entry in entries::<slots::Tracker>() {
            contract::tracker(&contract::plugin(entry));
        }
    }
}
