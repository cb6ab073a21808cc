//! References in arguments: `${step.path}`, what they resolve to and what they leave alone.

use callboard_domain::plan::reference::{has_reference, referenced_steps, resolve};
use callboard_domain::{RawJson, StepId};
use proptest::prelude::*;

fn json(text: &str) -> RawJson {
    RawJson::parse(text).unwrap()
}

/// `arguments` with the one result of step `a`.
fn with(arguments: &str, result: &str) -> Result<String, String> {
    let result = json(result);
    resolve(&json(arguments), |step| (step == "a").then_some(&result)).map(|found| found.as_str().to_owned())
}

#[test]
fn a_string_that_is_one_reference_becomes_the_value_itself() {
    for (arguments, result, expected) in [
        (r#"{"x":"${a}"}"#, r#"{"k":1}"#, r#"{"x":{"k":1}}"#),
        (r#"{"x":"${a.value}"}"#, r#"{"value":397.8}"#, r#"{"x":397.8}"#),
        (r#"{"x":"${a.value}"}"#, r#"{"value":null}"#, r#"{"x":null}"#),
        (r#"{"x":"${a.value}"}"#, r#"{"value":"text \"q\""}"#, r#"{"x":"text \"q\""}"#),
        (r#"{"x":"${a.list.1.n}"}"#, r#"{"list":[0,{"n":true}]}"#, r#"{"x":true}"#),
        (r#"["${a}",["${a}"]]"#, "7", "[7,[7]]"),
        (r#""${a}""#, "7", "7"),
    ] {
        assert_eq!(with(arguments, result).as_deref(), Ok(expected), "{arguments} with {result}");
    }
}

#[test]
fn inside_a_longer_string_the_value_is_written_out() {
    for (arguments, result, expected) in [
        (r#""${a.n}*0.19""#, r#"{"n":110.40}"#, r#""110.40*0.19""#),
        (r#""${a.t}, ${a.n}""#, r#"{"t":"say \"hi\"","n":[1]}"#, r#""say \"hi\", [1]""#),
        (r#""Grüße: ${a}!""#, r#""naïve""#, r#""Grüße: naïve!""#),
    ] {
        assert_eq!(with(arguments, result).as_deref(), Ok(expected), "{arguments} with {result}");
    }
}

#[test]
fn what_is_no_reference_stays_as_it_was_written() {
    for (arguments, expected) in [
        (r#"{"x":"$${a}"}"#, r#"{"x":"${a}"}"#),
        (r#"{"x":"a$${b} $5 {c}"}"#, r#"{"x":"a${b} $5 {c}"}"#),
        (r#"{"x":"${not a step}"}"#, r#"{"x":"${not a step}"}"#),
        (r#"{"x":"${unclosed"}"#, r#"{"x":"${unclosed"}"#),
        (r#"{"${a}":1, "x":"${a}"}"#, r#"{"${a}":1, "x":0}"#),
        (
            r#"{"z":1.50,"a":1e400, "x":"${a}","z":12345678901234567890123}"#,
            r#"{"z":1.50,"a":1e400, "x":0,"z":12345678901234567890123}"#,
        ),
        (r#"{ "q":"\\\"", "x":"${a}" }"#, r#"{ "q":"\\\"", "x":0 }"#),
    ] {
        assert_eq!(with(arguments, "0").as_deref(), Ok(expected), "{arguments}");
    }
}

#[test]
fn nesting_beyond_what_a_tree_holds_is_no_obstacle() {
    let (open, close) = ("[".repeat(1_000), "]".repeat(1_000));
    let deep = |inner: &str| format!("{open}{inner}{close}");
    assert_eq!(with(&deep(r#""${a}""#), "1"), Ok(deep("1")));
    assert_eq!(with(r#""${a}""#, &deep("1")), Ok(deep("1")));
}

#[test]
fn a_reference_that_leads_nowhere_is_named() {
    for (arguments, words) in [
        (r#""${b}""#, "${b} has no result"),
        (r#""${a.nope}""#, r#"${a.nope}: the result of "a" has no "nope""#),
        (r#""x ${a.list.9}""#, r#"${a.list.9}: the result of "a" has no "9""#),
        (r#""${a.list.first}""#, r#"${a.list.first}: the result of "a" has no "first""#),
        (r#""${a.n.deeper}""#, r#"${a.n.deeper}: the result of "a" has no "deeper""#),
    ] {
        assert_eq!(with(arguments, r#"{"n":1,"list":[1]}"#), Err(words.to_owned()));
    }
}

#[test]
fn resolved_arguments_are_bounded() {
    let big = format!("\"{}\"", "x".repeat(200_000));
    assert!(with(r#""${a}""#, &big).is_ok());
    for twice in [r#"["${a}","${a}"]"#, r#""${a}${a}""#] {
        let words = with(twice, &big).unwrap_err();
        assert!(words.contains("262144"), "{words}");
    }
}

#[test]
fn references_are_found_in_order_and_once() {
    let found = referenced_steps(&json(r#"{"z":"${b.x} ${a}","y":["${b}","$${c}","${d e}"],"${k}":1}"#));
    assert_eq!(found, ["b", "a"].map(|id| StepId::new(id).unwrap()));
    assert!(has_reference("x ${a}") && has_reference("${a.b}"));
    assert!(
        !has_reference("$${a}") && !has_reference("${}") && !has_reference("${a b}") && !has_reference("$a")
    );
}

fn tree() -> impl Strategy<Value = serde_json::Value> {
    let text = prop_oneof![
        3 => "[a-z\\\\\"$\\{\\}. é\u{1F600}]{0,12}",
        1 => Just("${a.b}".to_owned()),
        1 => Just("$${".to_owned())
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i64>().prop_map(Into::into),
        text.prop_map(Into::into)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let fields = prop::collection::btree_map("[a-z$\\{\\}\"\\\\]{0,6}", inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(serde_json::Value::Array),
            fields.prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect()))
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the arguments, the outcome is JSON or a sentence; without a `${` it is what was written; and
    /// what was resolved with a plain value has no reference left, unless an escape wrote one.
    #[test]
    fn resolving_never_breaks_the_text(tree in tree()) {
        let arguments = RawJson::from_value(&tree);
        let one = json(r#"{"b":1}"#);
        let known = referenced_steps(&arguments);
        match resolve(&arguments, |step| (step == "a").then_some(&one)) {
            Ok(found) => {
                prop_assert!(serde_json::from_str::<serde_json::Value>(found.as_str()).is_ok());
                if !arguments.as_str().contains("${") {
                    prop_assert_eq!(&found, &arguments);
                }
                if !arguments.as_str().contains("$${") {
                    prop_assert_eq!(referenced_steps(&found), vec![]);
                }
            }
            Err(words) => prop_assert!(!known.is_empty(), "{}", words),
        }
    }
}
