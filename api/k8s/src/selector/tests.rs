use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::field::FieldPath;

fn labels(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn check(text: &str, expected: &Expect) {
    let shown = match text.parse::<Selector>() {
        Ok(selector) => selector.to_string(),
        Err(error) => format!("error: {error}"),
    };
    expected.assert_eq(&shown);
}

#[test]
fn label_selectors() {
    check("", &expect![[""]]);
    check("a=b", &expect!["a=b"]);
    check(
        " b == 1 , a != x,c in (y, x),d notin (z),e,!f,g>1,h<2",
        &expect!["a!=x,b=1,c in (x,y),d!=z,e,!f,g>1,h<2"],
    );
    check("a=", &expect!["a="]);
    check("in in (in,notin)", &expect!["in in (in,notin)"]);
    check("a=b,", &expect!["error: found '', expected: identifier after ','"]);
    check(",a=b", &expect!["error: found ',', expected: !, identifier, or 'end of string'"]);
    check(
        "a b",
        &expect![
            "error: unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"
        ],
    );
    check("a in b", &expect!["error: unable to parse requirement: found 'b' expected: '('"]);
    check(
        "a>x",
        &expect![[
            r#"error: unable to parse requirement: values[0]: Invalid value: "x": for 'Gt', 'Lt' operators, the value must be an integer"#
        ]],
    );
    check("a=b=c", &expect!["error: found '=', expected: ',' or 'end of string'"]);
}

#[test]
fn label_selectors_match() {
    let pod = labels(&json!({"app": "web", "tier": "3"}));
    let matches = |text: &str| text.parse::<Selector>().unwrap().matches(Some(&pod));
    for text in ["", "app=web", "app!=db", "x!=y", "app in (web,db)", "tier>2", "!x", "x notin (y)"]
    {
        assert!(matches(text), "{text}");
    }
    for text in ["app=db", "x=", "x", "!app", "tier<3", "app>1", "app notin (web)"] {
        assert!(!matches(text), "{text}");
    }
    assert!(!Selector::nothing().matches(Some(&pod)));
    assert!("!x".parse::<Selector>().unwrap().matches(None));
}

#[test]
fn object_form() {
    let value = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["3", "4"]},
        {"key": "x", "operator": "DoesNotExist"},
    ]});
    let selector = LabelSelector::new(&value);
    assert!(selector.validate(&FieldPath::root()).is_empty());
    assert_eq!(selector.to_selector().unwrap().to_string(), "app=web,tier in (3,4),!x");
    assert!(LabelSelector::new(&json!({})).is_empty());

    let wrong = json!({"matchExpressions": [
        {"key": "tier", "operator": "In"},
        {"key": "", "operator": "Is", "values": ["a b"]},
    ]});
    let errors: Vec<String> = LabelSelector::new(&wrong)
        .validate(&FieldPath::new("spec").child("selector"))
        .iter()
        .map(|e| format!("{}: {:?}", e.field, e.kind))
        .collect();
    expect![[r#"
        spec.selector.matchExpressions[0].values: Required
        spec.selector.matchExpressions[1].operator: Invalid
        spec.selector.matchExpressions[1].key: Invalid
        spec.selector.matchExpressions[1].key: Invalid
        spec.selector.matchExpressions[1].values[0]: Invalid"#]]
    .assert_eq(&errors.join("\n"));
}

#[test]
fn field_selectors() {
    let read = |text: &str| match text.parse::<FieldSelector>() {
        Ok(selector) => selector.to_string(),
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(read(""), "");
    assert_eq!(read("spec.nodeName="), "spec.nodeName=");
    assert_eq!(read("a==b,c!=d"), "a=b,c!=d");
    assert_eq!(read(r"a=b\,c\=d\\"), r"a=b\,c\=d\\");
    assert_eq!(read("a"), "error: invalid selector: 'a'; can't understand 'a'");
    assert_eq!(read("a=b=c"), "error: invalid field selector: unescaped character in value: =");
    assert_eq!(read(r"a=\x"), r"error: invalid field selector: invalid escape sequence: \x");
    let selector: FieldSelector = "status.phase!=Running,spec.nodeName=".parse().unwrap();
    assert!(selector.matches(|field| match field {
        "status.phase" => "Pending".to_owned(),
        _ => String::new(),
    }));
    assert_eq!(selector.exact("spec.nodeName"), Some(""));
    assert_eq!(selector.exact("status.phase"), None);
}

proptest! {
    #[test]
    fn shown_form_is_read_back(text in "[a-c!=,<>() \t]{0,24}") {
        if let Ok(selector) = text.parse::<Selector>() {
            prop_assert_eq!(selector.to_string().parse::<Selector>(), Ok(selector));
        }
        if let Ok(selector) = text.parse::<FieldSelector>() {
            prop_assert_eq!(selector.to_string().parse::<FieldSelector>(), Ok(selector));
        }
    }

    #[test]
    fn a_requirement_and_its_negation_split_the_world(
        key in "[a-b]", value in "[a-b]?", labels in prop::collection::btree_map("[a-b]", "[a-b]?", 0..3),
    ) {
        let map: Map<String, Value> = labels.into_iter().map(|(k, v)| (k, v.into())).collect();
        let matches = |text: String| text.parse::<Selector>().unwrap().matches(Some(&map));
        prop_assert_ne!(matches(format!("{key}={value}")), matches(format!("{key}!={value}")));
        prop_assert_ne!(matches(key.clone()), matches(format!("!{key}")));
        prop_assert_ne!(matches(format!("{key} in ({value},a)")), matches(format!("{key} notin ({value},a)")));
    }
}
