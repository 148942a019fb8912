//! What the error stream says at the end.

use bytes::Bytes;
use serde_json::json;

use crate::backend::Failure;

/// From version 4 on: a `metav1.Status`, also when all went well.
pub(super) fn status(outcome: &Result<i32, Failure>) -> Bytes {
    let status = match outcome {
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => json!({
            "metadata": {},
            "status": "Failure",
            "message": exit_message(*code),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Err(failure) => json!({
            "metadata": {},
            "status": "Failure",
            "message": failure.0,
            "reason": "InternalError",
            "details": {"causes": [{"message": failure.0}]},
            "code": 500,
        }),
    };
    Bytes::from(status.to_string())
}

/// Before version 4: text, and only when something went wrong.
pub(super) fn text(outcome: &Result<i32, Failure>) -> Bytes {
    match outcome {
        Ok(0) => Bytes::new(),
        Ok(code) => exit_message(*code).into(),
        Err(failure) => failure.0.clone().into(),
    }
}

fn exit_message(code: i32) -> String {
    format!("command terminated with non-zero exit code: exit status {code}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_find_the_exit_code_where_they_look_for_it() {
        let parse =
            |outcome| serde_json::from_slice::<serde_json::Value>(&status(&outcome)).unwrap();
        let failed = parse(Ok(3));
        assert_eq!(failed["reason"], "NonZeroExitCode");
        assert_eq!(failed["details"]["causes"][0]["reason"], "ExitCode");
        assert_eq!(failed["details"]["causes"][0]["message"], "3");
        assert_eq!(parse(Ok(0))["status"], "Success");
        let broken = parse(Err(Failure("no such container".to_owned())));
        assert_eq!((&broken["status"], &broken["code"]), (&json!("Failure"), &json!(500)));
        assert_eq!(text(&Ok(0)), "");
        assert!(text(&Ok(3)).ends_with(b"exit status 3"));
    }
}
