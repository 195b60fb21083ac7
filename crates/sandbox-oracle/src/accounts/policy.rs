//! What Autonomous Database demands of a password.
//!
//! Oracle documentation (Autonomous Database, Manage Users): 12 to 30 characters, an upper-case letter, a lower-case
//! letter and a digit at least; not the user's name in any case; no double quote. The wording of the ORA-20000 lines
//! is ours: no source for the real one was found.

use crate::{
    accounts::profile::{Profile, Verify},
    refusal::Refusal,
};

const SHORTEST: usize = 12;
const LONGEST: usize = 30;

/// Checks a password against the verify function of a profile.
pub(crate) fn check(profile: &Profile, user: &str, password: &str) -> Result<(), Refusal> {
    match profile.verify {
        Verify::Nothing => Ok(()),
        Verify::Cloud => cloud(user, password).map_err(|why| {
            Refusal::saying(28003, format!("password verification for the specified password failed\nORA-20000: {why}"))
        }),
    }
}

fn cloud(user: &str, password: &str) -> Result<(), String> {
    let has = |class: fn(&char) -> bool| password.chars().any(|letter| class(&letter));
    if password.len() < SHORTEST {
        return Err(format!("password length less than {SHORTEST} characters"));
    }
    if password.len() > LONGEST {
        return Err(format!("password length more than {LONGEST} characters"));
    }
    if password.to_lowercase().contains(&user.to_lowercase()) {
        return Err("password contains the username".to_owned());
    }
    if password.contains('"') {
        return Err("password contains a double quote".to_owned());
    }
    for (class, what) in [
        (char::is_ascii_uppercase as fn(&char) -> bool, "uppercase characters"),
        (char::is_ascii_lowercase, "lowercase characters"),
        (char::is_ascii_digit, "digits"),
    ] {
        if !has(class) {
            return Err(format!("password must contain 1 or more {what}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn autonomous_database_demands_length_and_three_classes_and_no_name() {
        let refused = |password| check(&Profile::autonomous(), "APP", password).map_err(|refusal| refusal.code).err();
        assert_eq!(refused("Long_enough_1234"), None);
        for password in [
            "Short_1",
            "no_upper_case_1",
            "NO_LOWER_CASE_1",
            "No_digit_at_all",
            "My_app_is_good_1",
            "Quote\"inside_it_1",
        ] {
            assert_eq!(refused(password), Some(28003), "{password}");
        }
        assert_eq!(refused("Much_too_long_for_this_rule_1234"), Some(28003));
        assert_eq!(check(&Profile::classic(), "APP", "app"), Ok(()));
    }
}
