//! The string form of label selectors: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2`.

use thiserror::Error;

use super::label::{Operator, Requirement};
use crate::field::{FieldError, FieldPath};
use crate::names;

/// Why a selector cannot be read; worded as Kubernetes words it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct ParseError {
    pub(super) message: String,
}

fn error(message: impl Into<String>) -> ParseError {
    ParseError { message: message.into() }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Sign(&'static str),
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Token::Word(word) => word,
            Token::Sign(sign) => sign,
            Token::End => "",
        }
    }
}

const SIGNS: &[&str] = &["==", "!=", "=", "!", "(", ")", ",", ">", "<"];

fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if rest.is_empty() {
            out.push(Token::End);
            return out;
        }
        if let Some(sign) = SIGNS.iter().find(|s| rest.starts_with(**s)) {
            out.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
            continue;
        }
        let stop = |c: char| " \t\r\n=!(),><".contains(c);
        let end = rest.find(stop).unwrap_or(rest.len());
        out.push(Token::Word(rest[..end].to_owned()));
        rest = &rest[end..];
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, ParseError> {
    let mut parser = Parser { tokens: tokens(text), at: 0 };
    let mut out = Vec::new();
    loop {
        match parser.peek() {
            Token::Word(_) | Token::Sign("!") => {
                let requirement = parser
                    .requirement()
                    .map_err(|e| error(format!("unable to parse requirement: {e}")))?;
                out.push(requirement);
                match parser.next() {
                    Token::End => break,
                    Token::Sign(",") => match parser.peek() {
                        Token::Word(_) | Token::Sign("!") => {}
                        other @ (Token::Sign(_) | Token::End) => {
                            return Err(error(format!(
                                "found '{}', expected: identifier after ','",
                                other.text()
                            )));
                        }
                    },
                    other @ (Token::Word(_) | Token::Sign(_)) => {
                        return Err(error(format!(
                            "found '{}', expected: ',' or 'end of string'",
                            other.text()
                        )));
                    }
                }
            }
            Token::End => break,
            Token::Sign(sign) => {
                return Err(error(format!(
                    "found '{sign}', expected: !, identifier, or 'end of string'"
                )));
            }
        }
    }
    out.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(out)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Token {
        self.tokens.get(self.at).cloned().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, ParseError> {
        let negated = self.peek() == Token::Sign("!");
        if negated {
            self.at += 1;
        }
        let key = match self.next() {
            Token::Word(word) => word,
            other @ (Token::Sign(_) | Token::End) => {
                return Err(error(format!("found '{}', expected: identifier", other.text())));
            }
        };
        let wrong = names::qualified_name(&key);
        if !wrong.is_empty() {
            return Err(invalid("key", &key, &wrong));
        }
        let ends = matches!(self.peek(), Token::End | Token::Sign(","));
        if negated || ends {
            let operator = if negated { Operator::DoesNotExist } else { Operator::Exists };
            return Ok(Requirement { key, operator, values: Vec::new() });
        }
        let operator = self.operator()?;
        let values = match operator {
            Set::In | Set::NotIn => self.values()?,
            Set::Equal | Set::NotEqual | Set::Greater | Set::Less => vec![self.exact_value()?],
        };
        let operator = match operator {
            Set::In | Set::Equal => Operator::In,
            Set::NotIn | Set::NotEqual => Operator::NotIn,
            Set::Greater => Operator::GreaterThan,
            Set::Less => Operator::LessThan,
        };
        check_values(&key, operator, &values)?;
        Ok(Requirement { key, operator, values })
    }

    fn operator(&mut self) -> Result<Set, ParseError> {
        let token = self.next();
        Ok(match token.text() {
            "in" => Set::In,
            "notin" => Set::NotIn,
            "=" | "==" => Set::Equal,
            "!=" => Set::NotEqual,
            ">" => Set::Greater,
            "<" => Set::Less,
            other => {
                return Err(error(format!(
                    "found '{other}', expected: in, notin, =, ==, !=, gt, lt"
                )));
            }
        })
    }

    fn exact_value(&mut self) -> Result<String, ParseError> {
        match self.peek() {
            Token::End | Token::Sign(",") => Ok(String::new()),
            Token::Word(word) => {
                self.at += 1;
                Ok(word)
            }
            Token::Sign(sign) => Err(error(format!("found '{sign}', expected: identifier"))),
        }
    }

    fn values(&mut self) -> Result<Vec<String>, ParseError> {
        let open = self.next();
        if open != Token::Sign("(") {
            return Err(error(format!("found '{}' expected: '('", open.text())));
        }
        let mut values: Vec<String> = Vec::new();
        loop {
            let value = match self.peek() {
                Token::Word(word) => {
                    self.at += 1;
                    word
                }
                Token::Sign("," | ")") => String::new(),
                other @ (Token::Sign(_) | Token::End) => {
                    return Err(error(format!(
                        "found '{}', expected: ',', ')' or identifier",
                        other.text()
                    )));
                }
            };
            if !values.contains(&value) {
                values.push(value);
            }
            match self.next() {
                Token::Sign(",") => {}
                Token::Sign(")") => break,
                other @ (Token::Word(_) | Token::Sign(_) | Token::End) => {
                    return Err(error(format!("found '{}', expected: ',' or ')'", other.text())));
                }
            }
        }
        values.sort();
        Ok(values)
    }
}

enum Set {
    In,
    NotIn,
    Equal,
    NotEqual,
    Greater,
    Less,
}

fn check_values(key: &str, operator: Operator, values: &[String]) -> Result<(), ParseError> {
    for (i, value) in values.iter().enumerate() {
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            return Err(invalid(&format!("values[{i}][{key}]"), value, &wrong));
        }
        let bound = matches!(operator, Operator::GreaterThan | Operator::LessThan);
        if bound && value.parse::<i64>().is_err() {
            let why = ["for 'Gt', 'Lt' operators, the value must be an integer".to_owned()];
            return Err(invalid(&format!("values[{i}]"), value, &why));
        }
    }
    Ok(())
}

fn invalid(field: &str, value: &str, why: &[String]) -> ParseError {
    error(FieldError::invalid(&FieldPath::new(field), value, why.join("; ")).to_string())
}
