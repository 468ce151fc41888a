//! The programs do what they say.

use std::process::Command;

fn output(program: &str) -> String {
    let output = Command::new(program).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn embed() {
    let output = output(env!("CARGO_BIN_EXE_embed"));
    assert!(output.contains("session 42 belongs to ada"), "{output}");
    assert!(output.contains("the first request got it: true, the second: false"), "{output}");
}

#[test]
fn two_regions() {
    let output = output(env!("CARGO_BIN_EXE_two_regions"));
    assert!(output.contains("oregon sees 1.20"), "{output}");
}
