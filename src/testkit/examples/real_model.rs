//! Starts the tests' real language model and leaves it running until Enter is pressed, so that a server or
//! `callboard eval` can be pointed at it. The model is [`callboard_testkit::real_model`]'s.

use callboard_testkit::real_model::{MODEL_NAME, Options, RealModel, available};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    available()?;
    let model = RealModel::start(&Options::default())?;
    println!("export CALLBOARD__MODELS__OPENAI__BASE_URL={}", model.base_url());
    println!("export CALLBOARD__MODELS__OPENAI__MODEL={MODEL_NAME}");
    println!("# Enter ends it");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}
