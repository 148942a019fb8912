//! Label selectors: the string form of queries and the object form in specs.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::parse::{ParseError, parse};
use crate::field::{FieldError, FieldPath};
use crate::names;

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The label's value is among the values.
    In,
    /// The label is absent or its value is not among the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The label's value is a greater integer.
    GreaterThan,
    /// The label's value is a smaller integer.
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// Comparison.
    pub operator: Operator,
    /// Values to compare with.
    pub values: Vec<String>,
}

impl Requirement {
    /// Whether labels meet it.
    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        let value = labels.and_then(|l| l.get(&self.key)).map(|v| v.as_str().unwrap_or_default());
        match self.operator {
            Operator::In => value.is_some_and(|v| self.values.iter().any(|w| w == v)),
            Operator::NotIn => value.is_none_or(|v| self.values.iter().all(|w| w != v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.integers(value).is_some_and(|(v, w)| v > w),
            Operator::LessThan => self.integers(value).is_some_and(|(v, w)| v < w),
        }
    }

    fn integers(&self, value: Option<&str>) -> Option<(i64, i64)> {
        let [bound] = self.values.as_slice() else { return None };
        Some((value?.parse().ok()?, bound.parse().ok()?))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::In if self.values.len() == 1 => write!(f, "{key}={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn if self.values.len() == 1 => write!(f, "{key}!={values}"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// A conjunction of requirements; the empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl Selector {
    /// Matches everything.
    pub fn everything() -> Self {
        Selector::default()
    }

    /// Matches nothing.
    pub fn nothing() -> Self {
        Selector { requirements: Vec::new(), nothing: true }
    }

    /// The conjunction of these.
    pub fn new(requirements: Vec<Requirement>) -> Self {
        Selector { requirements, nothing: false }
    }

    /// Whether it matches everything.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// The single requirements.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether labels meet all requirements.
    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels))
    }
}

impl FromStr for Selector {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).map(Selector::new)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.requirements.iter().map(ToString::to_string).collect();
        f.write_str(&all.join(","))
    }
}

/// `metav1.LabelSelector`, the object form.
#[derive(Clone, Copy, Debug)]
pub struct LabelSelector<'a>(&'a Value);

impl<'a> LabelSelector<'a> {
    /// Looks at a decoded `metav1.LabelSelector`.
    pub fn new(value: &'a Value) -> Self {
        LabelSelector(value)
    }

    /// Whether it has neither labels nor expressions, and so matches everything.
    pub fn is_empty(&self) -> bool {
        let empty = |key: &str| match self.0.get(key) {
            Some(Value::Object(map)) => map.is_empty(),
            Some(Value::Array(list)) => list.is_empty(),
            _ => true,
        };
        empty("matchLabels") && empty("matchExpressions")
    }

    /// The form that matches; `None` if an operator is unknown (validation says which).
    pub fn to_selector(&self) -> Option<Selector> {
        let mut requirements = Vec::new();
        if let Some(labels) = self.0.get("matchLabels").and_then(Value::as_object) {
            for (key, value) in labels {
                requirements.push(Requirement {
                    key: key.clone(),
                    operator: Operator::In,
                    values: vec![value.as_str().unwrap_or_default().to_owned()],
                });
            }
        }
        for expression in self.expressions() {
            requirements.push(Requirement {
                key: expression["key"].as_str().unwrap_or_default().to_owned(),
                operator: operator(expression["operator"].as_str().unwrap_or_default())?,
                values: strings(expression),
            });
        }
        Some(Selector::new(requirements))
    }

    fn expressions(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.0.get("matchExpressions").and_then(Value::as_array).into_iter().flatten()
    }

    /// What is wrong with it.
    pub fn validate(&self, path: &FieldPath) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(labels) = self.0.get("matchLabels").and_then(Value::as_object) {
            let path = path.child("matchLabels");
            for (key, value) in labels {
                for why in names::qualified_name(key) {
                    errors.push(FieldError::invalid(&path, key.as_str(), why));
                }
                let value = value.as_str().unwrap_or_default();
                for why in names::label_value(value) {
                    errors.push(FieldError::invalid(&path, value, why));
                }
            }
        }
        for (i, expression) in self.expressions().enumerate() {
            let path = path.child("matchExpressions").index(i);
            validate_expression(expression, &path, &mut errors);
        }
        errors
    }
}

fn operator(text: &str) -> Option<Operator> {
    Some(match text {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        _ => return None,
    })
}

fn strings(expression: &Value) -> Vec<String> {
    let values = expression["values"].as_array().into_iter().flatten();
    values.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn validate_expression(expression: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let text = expression["operator"].as_str().unwrap_or_default();
    let values = strings(expression);
    match operator(text) {
        Some(Operator::In | Operator::NotIn) if values.is_empty() => {
            let why = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&path.child("values"), why));
        }
        Some(Operator::Exists | Operator::DoesNotExist) if !values.is_empty() => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&path.child("values"), why));
        }
        Some(_) => {}
        None => {
            let why = "not a valid selector operator";
            errors.push(FieldError::invalid(&path.child("operator"), text, why));
        }
    }
    let key = expression["key"].as_str().unwrap_or_default();
    for why in names::qualified_name(key) {
        errors.push(FieldError::invalid(&path.child("key"), key, why));
    }
    for (i, value) in values.iter().enumerate() {
        for why in names::label_value(value) {
            errors.push(FieldError::invalid(&path.child("values").index(i), value.as_str(), why));
        }
    }
}
