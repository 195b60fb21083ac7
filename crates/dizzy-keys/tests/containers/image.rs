//! What is in the image, and what is not.

use std::process::Command;

use dizzy_sandbox::moto;

use crate::boxes::image;

/// What the engine puts into every container, image or not.
const OF_THE_ENGINE: [&str; 7] =
    [".dockerenv", "dev/", "proc/", "sys/", "etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// Roots that the endpoints of both clouds and databases lead to, by their labels in certifi's file, and all others of it.
const ROOTS: &str = r##"
import certifi, ssl, sys
program = open(sys.argv[1], "rb").read()
found, missing, label = 0, [], ""
for line in open(certifi.where(), encoding="utf-8"):
    if line.startswith("# Label: "):
        label = line.split('"')[1]
    elif line.startswith("-----BEGIN"):
        pem = ""
    if not line.startswith("#") and line.strip():
        pem += line
    if line.startswith("-----END"):
        if ssl.PEM_cert_to_DER_cert(pem) in program:
            found += 1
        else:
            missing.append(label)
print(found, "found; missing:", missing)
wanted = {"Amazon Root CA 1", "Starfield Services Root Certificate Authority - G2", "DigiCert Global Root G2", "ISRG Root X1"}
sys.exit(bool(wanted & set(missing)) or found < 100)
"##;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{out}{}", String::from_utf8_lossy(&output.stderr));
    out
}

#[test]
fn one_layer_one_program_no_shell_and_the_public_roots() {
    let image = image();
    assert_eq!(image.inspect("{{len .RootFS.Layers}}").unwrap(), "1");
    assert_eq!(
        image.inspect("{{.Config.User}} {{.Config.Entrypoint}} {{.Config.Cmd}}").unwrap(),
        "1000:1000 [/dizzy-keys] []"
    );
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("all.tar");
    image.run(&[]).create().unwrap().export(&archive).unwrap();
    let list = run(Command::new("tar").arg("--list").arg("--file").arg(&archive));
    let mut files: Vec<&str> = list
        .lines()
        .filter(|name| !OF_THE_ENGINE.iter().any(|of| name == of || (of.ends_with('/') && name.starts_with(of))))
        .collect();
    files.sort_unstable();
    // The link that the engine puts there names a file of /proc.
    files.retain(|name| *name != "etc/mtab");
    assert_eq!(files, ["dizzy-keys", "etc/", "etc/group", "etc/passwd", "tmp/"]);
    run(Command::new("tar")
        .arg("--extract")
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(folder.path())
        .args(["dizzy-keys", "etc/passwd"]));
    let users = std::fs::read_to_string(folder.path().join("etc/passwd")).unwrap();
    assert_eq!(users, "dizzy:x:1000:1000::/:/dizzy-keys\n");
    let program = folder.path().join("dizzy-keys");
    assert!(
        !run(Command::new("readelf").arg("--program-headers").arg(&program)).contains("INTERP"),
        "it is not static"
    );
    println!(
        "public roots in the program: {}",
        run(Command::new(moto::python().unwrap()).args(["-c", ROOTS]).arg(&program))
    );
}

#[test]
fn the_program_tells_the_commit_that_the_label_tells() {
    let image = image();
    let commit = image.inspect(r#"{{index .Config.Labels "org.opencontainers.image.revision"}}"#).unwrap();
    let version = image.inspect(r#"{{index .Config.Labels "org.opencontainers.image.version"}}"#).unwrap();
    assert!(commit.len() >= 12, "{commit}");
    let ended = image.run(&["--version"]).to_its_end().unwrap();
    assert_eq!(
        (ended.exit, ended.out.trim()),
        (0, format!("dizzy-keys {version} (commit {commit})").as_str()),
        "{}",
        ended.err
    );
    // Without a command, and without a platform, it is the command line, which says how it is used.
    let ended = image.run(&[]).to_its_end().unwrap();
    assert!(ended.exit == 2 && ended.err.contains("Usage"), "{}: {}{}", ended.exit, ended.out, ended.err);
}
