//! The fence inside the database: its SQL, and what to call it with.
//!
//! Schema `dizzy` holds one table and three functions. Rotated users may call the functions and nothing else; a function run by
//! its owner's right touches the row of `session_user` only. Every statement here may be run again at any time.

use dizzy_engine::{Epoch, Generation};
use dizzy_host::port::{FenceStamp, FenceState, Kind, PortError, PortResult};

use super::text::{dollar, identifier, identifiers, literal};

/// Version of the functions below. A later one keeps old functions callable or gives changed ones other names, because
/// `CREATE OR REPLACE` can change neither arguments nor results.
pub(super) const FENCE_VERSION: u32 = 1;

/// A function of the fence: name with argument types, the rest of its declaration, and its body exactly as the server keeps it.
pub(super) struct FenceFunction {
    pub(super) name: &'static str,
    pub(super) arguments: &'static str,
    declaration: &'static str,
    pub(super) body: &'static str,
}

/// The functions of this version.
pub(super) const FUNCTIONS: [FenceFunction; 3] = [
    FenceFunction {
        name: "stamp",
        arguments: "text, text, bigint, bigint, text, bigint",
        declaration: "dizzy.stamp(p_set text, p_register text, p_epoch bigint, p_gen bigint, p_kind text, p_base bigint, \
                      OUT o_register text, OUT o_epoch bigint, OUT o_gen bigint) \
                      LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp",
        body: r#"
DECLARE
  seen dizzy.fence%ROWTYPE;
  next_gen bigint := p_gen;
BEGIN
  -- Waits for a concurrent stamp of the same row, then sees what that left.
  SELECT f.* INTO seen FROM dizzy.fence f WHERE f."set" = p_set AND f.role = session_user::text FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'dizzy-keys: no fence row' USING ERRCODE = 'DZ002';
  END IF;
  -- A set belongs to one register as a whole, also its users that were never changed.
  IF coalesce(p_register, '') = ''
    OR EXISTS (SELECT FROM dizzy.fence f WHERE f."set" = p_set AND f.register <> p_register) THEN
    RAISE EXCEPTION 'dizzy-keys: another register' USING ERRCODE = 'DZ003';
  END IF;
  IF p_epoch IS NULL OR seen.epoch > p_epoch THEN
    RAISE EXCEPTION 'dizzy-keys: newer epoch' USING ERRCODE = 'DZ001';
  END IF;
  IF p_kind = 'burn' THEN
    next_gen := seen.gen;
  ELSIF p_gen IS NULL
    OR (p_kind = 'alternating' AND seen.gen > p_gen)
    OR (p_kind = 'single' AND seen.gen <> p_gen AND seen.gen IS DISTINCT FROM p_base) THEN
    RAISE EXCEPTION 'dizzy-keys: newer generation' USING ERRCODE = 'DZ001';
  ELSIF p_kind NOT IN ('alternating', 'single') OR p_kind IS NULL THEN
    RAISE EXCEPTION 'dizzy-keys: unknown kind' USING ERRCODE = 'DZ004';
  END IF;
  UPDATE dizzy.fence f SET register = p_register, epoch = p_epoch, gen = next_gen
    WHERE f."set" = p_set AND f.role = session_user::text
    RETURNING f.register, f.epoch, f.gen INTO o_register, o_epoch, o_gen;
END
"#,
    },
    FenceFunction {
        name: "fences",
        arguments: "text",
        declaration: "dizzy.fences(p_set text, OUT o_set text, OUT o_role text, OUT o_register text, OUT o_epoch bigint, \
                      OUT o_gen bigint) RETURNS SETOF record \
                      LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp",
        body: r#"
  SELECT f."set", f.role, f.register, f.epoch, f.gen FROM dizzy.fence f
  WHERE f.role = session_user::text
    OR (f."set" = p_set AND EXISTS
      (SELECT FROM dizzy.fence own WHERE own."set" = p_set AND own.role = session_user::text))
"#,
    },
    FenceFunction {
        name: "fence_version",
        arguments: "",
        declaration: "dizzy.fence_version() RETURNS integer LANGUAGE sql IMMUTABLE \
                      SET search_path = pg_catalog, pg_temp",
        body: " SELECT 1 ",
    },
];

/// Creates the schema, readable by nobody.
pub(super) fn schema_sql() -> String {
    "CREATE SCHEMA IF NOT EXISTS dizzy;\nREVOKE ALL ON SCHEMA dizzy FROM PUBLIC;\n".to_owned()
}

/// Creates the table, readable by nobody.
pub(super) fn table_sql() -> String {
    "CREATE TABLE IF NOT EXISTS dizzy.fence (\n  \"set\" text NOT NULL,\n  role text NOT NULL,\n  register text,\n  \
     epoch bigint NOT NULL DEFAULT 0,\n  gen bigint,\n  PRIMARY KEY (\"set\", role)\n);\n\
     REVOKE ALL ON TABLE dizzy.fence FROM PUBLIC;\n"
        .to_owned()
}

/// Creates or replaces the functions, callable by nobody.
pub(super) fn functions_sql() -> String {
    let mut sql = String::new();
    for function in &FUNCTIONS {
        sql += &format!("CREATE OR REPLACE FUNCTION {} AS {};\n", function.declaration, dollar(function.body));
        sql += &format!("REVOKE ALL ON FUNCTION {} FROM PUBLIC;\n", function.signature());
    }
    sql
}

/// Gives each user of the set its row.
pub(super) fn rows_sql(set: &str, users: &[&str]) -> String {
    let rows = users.iter().map(|user| format!("({}, {})", literal(set), literal(user))).collect::<Vec<_>>();
    format!("INSERT INTO dizzy.fence (\"set\", role) VALUES {} ON CONFLICT DO NOTHING;\n", rows.join(", "))
}

/// Lets the users call the functions.
pub(super) fn grants_sql(users: &[&str]) -> String {
    let functions = FUNCTIONS.iter().map(FenceFunction::signature).collect::<Vec<_>>().join(", ");
    let users = identifiers(users);
    format!("GRANT USAGE ON SCHEMA dizzy TO {users};\nGRANT EXECUTE ON FUNCTION {functions} TO {users};\n")
}

impl FenceFunction {
    fn signature(&self) -> String {
        format!("dizzy.{}({})", self.name, self.arguments)
    }
}

/// What is asked of [`stamp_sql`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Stamp {
    Alternating,
    Single { from: Generation },
    Burn,
}

/// Calls the fence for the user of the session; one row comes back.
pub(super) fn stamp_sql(stamp: &FenceStamp<'_>, kind: Stamp) -> PortResult<String> {
    let (kind, base) = match kind {
        Stamp::Alternating => ("alternating", "NULL".to_owned()),
        Stamp::Single { from } => ("single", number(from.0)?.to_string()),
        Stamp::Burn => ("burn", "NULL".to_owned()),
    };
    Ok(format!(
        "SELECT o_register, o_epoch, o_gen FROM dizzy.stamp({}, {}, {}, {}, '{kind}', {base});\n",
        literal(stamp.set),
        literal(stamp.register),
        number(stamp.epoch.0)?,
        number(stamp.generation.0)?,
    ))
}

/// Gives the second user a password, for the fence's owner, who has no row of its own: the row's epoch and generation are not moved (what
/// they speak of is changes by the user itself), but a newer one refuses, as `dizzy.stamp` would.
pub(super) fn first_password_sql(stamp: &FenceStamp<'_>, user: &str, verifier: &str) -> PortResult<String> {
    owner_sql(stamp, user, verifier, &format!("register = {}", literal(stamp.register)))
}

/// Sets a user's password for the fence's owner when nobody knows the old one: the row takes epoch and generation, so that everything
/// older is refused, and what comes next finds the row where the password is.
pub(super) fn set_password_sql(stamp: &FenceStamp<'_>, user: &str, verifier: &str) -> PortResult<String> {
    let (epoch, generation) = (number(stamp.epoch.0)?, number(stamp.generation.0)?);
    let row = format!("register = {}, epoch = {epoch}, gen = {generation}", literal(stamp.register));
    owner_sql(stamp, user, verifier, &row)
}

/// A password set by the fence's owner, unless the row knows of something newer; `row` is what the row is set to.
fn owner_sql(stamp: &FenceStamp<'_>, user: &str, verifier: &str, row: &str) -> PortResult<String> {
    let (set, register, role) = (literal(stamp.set), literal(stamp.register), literal(user));
    let (epoch, generation) = (number(stamp.epoch.0)?, number(stamp.generation.0)?);
    let body = format!(
        r#"
DECLARE
  seen dizzy.fence%ROWTYPE;
BEGIN
  SELECT f.* INTO seen FROM dizzy.fence f WHERE f."set" = {set} AND f.role = {role} FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'dizzy-keys: no fence row' USING ERRCODE = 'DZ002';
  ELSIF {register} = '' OR EXISTS (SELECT FROM dizzy.fence f WHERE f."set" = {set} AND f.register <> {register}) THEN
    RAISE EXCEPTION 'dizzy-keys: another register' USING ERRCODE = 'DZ003';
  ELSIF seen.epoch > {epoch} OR seen.gen > {generation} THEN
    RAISE EXCEPTION 'dizzy-keys: newer epoch or generation' USING ERRCODE = 'DZ001';
  END IF;
  UPDATE dizzy.fence f SET {row} WHERE f."set" = {set} AND f.role = {role};
END
"#
    );
    Ok(format!("DO {};\nALTER ROLE {} PASSWORD {};\n", dollar(&body), identifier(user), literal(verifier)))
}

/// A fence row from its columns `register`, `epoch`, `gen`.
pub(super) fn state(columns: &[Option<String>]) -> PortResult<FenceState> {
    let malformed = || PortError::refused(Kind::Malformed, "read a fence row");
    let [register, epoch, generation] = columns else { return Err(malformed()) };
    let parse = |text: &String| text.parse::<u64>().map_err(|_| malformed());
    Ok(FenceState {
        epoch: Epoch(parse(epoch.as_ref().ok_or_else(malformed)?)?),
        generation: generation.as_ref().map(parse).transpose()?.map(Generation),
        register: register.clone().unwrap_or_default(),
    })
}

/// The server's `bigint` has a sign.
fn number(value: u64) -> PortResult<i64> {
    i64::try_from(value).map_err(|_| PortError::refused(Kind::Malformed, "send an epoch or generation above 2^63 - 1"))
}
