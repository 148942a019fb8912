//! The folders of pods' logs, named `<namespace>_<name>_<uid>`.

use std::io;
use std::path::Path;

use super::model::PodUid;

/// Removes a pod's logs, by its uid: of a pod that was deleted while the kubelet was away, nothing
/// else is known. Logs are a convenience; that they stay behind must not keep a pod from going.
pub(crate) async fn remove(pod_logs_dir: &Path, uid: &PodUid) {
    if let Err(error) = try_remove(pod_logs_dir, uid).await {
        tracing::warn!(pod = %uid, folder = %pod_logs_dir.display(), %error, "logs not removed");
    }
}

async fn try_remove(pod_logs_dir: &Path, uid: &PodUid) -> io::Result<()> {
    // Neither a namespace nor a name has an underscore.
    let ending = format!("_{uid}");
    let mut folders = tokio::fs::read_dir(pod_logs_dir).await?;
    while let Some(folder) = folders.next_entry().await? {
        if folder.file_name().to_string_lossy().ends_with(&ending) {
            tokio::fs::remove_dir_all(folder.path()).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_pods_own_go() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a_web_1-2", "b_web_1-2", "a_web_2", "a_web_11-2"] {
            std::fs::create_dir_all(folder.path().join(name).join("main")).unwrap();
        }
        remove(folder.path(), &PodUid("1-2".to_owned())).await;
        remove(folder.path(), &PodUid("absent".to_owned())).await;
        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["a_web_11-2", "a_web_2"]);
    }
}
