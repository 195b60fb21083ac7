"""Runs steps against the emulator with python-oracledb in thin mode, and prints what each of them came to.

The argument is JSON: {"connect": parameters of oracledb.connect, "steps": [[verb, session, ...], ...]}. A step's
result is null or a value; a refusal is {"code": the ORA number, "text": its message}. The verbs are the functions
of `Steps`. Sessions are kept by name, so that a story may have several at once.
"""

import datetime
import json
import sys

import oracledb


class Steps:
    def __init__(self, connect):
        self.connect = connect
        self.sessions = {}

    def login(self, name, user, password, **further):
        self.sessions[name] = oracledb.connect(user=user, password=password, **{**self.connect, **further})

    def change(self, name, old, new):
        self.sessions[name].changepassword(old, new)

    def query(self, name, sql, binds=None, **further):
        with self.sessions[name].cursor() as cursor:
            for attribute, value in further.items():
                setattr(cursor, attribute, value)
            cursor.execute(sql, binds or [])
            return [list(row) for row in cursor]

    def columns(self, name, sql):
        with self.sessions[name].cursor() as cursor:
            cursor.execute(sql)
            return [[column[0], column[1].name] for column in cursor.description]

    def execute(self, name, sql, binds=None):
        with self.sessions[name].cursor() as cursor:
            cursor.execute(sql, binds or [])
            return None

    def again(self, name, sql, rows):
        """Runs one statement on one cursor with each of these binds: the second time, the client re-executes."""
        with self.sessions[name].cursor() as cursor:
            results = []
            for binds in rows:
                cursor.execute(sql, binds)
                results.append([list(row) for row in cursor])
            return results

    def ping(self, name):
        self.sessions[name].ping()

    def commit(self, name):
        self.sessions[name].commit()

    def rollback(self, name):
        self.sessions[name].rollback()

    def kill(self, name, user):
        """Ends the sessions of a user as an administrator does."""
        with self.sessions[name].cursor() as cursor:
            cursor.execute("SELECT SID || ',' || SERIAL# FROM V$SESSION WHERE USERNAME = :1", [user])
            for (session,) in cursor.fetchall():
                cursor.execute(f"ALTER SYSTEM KILL SESSION '{session}' IMMEDIATE")

    def version(self, name):
        return self.sessions[name].version

    def warning(self, name):
        warning = self.sessions[name].warning
        return None if warning is None else {"code": warning.code, "text": warning.message}

    def label(self, name, **attributes):
        for attribute, value in attributes.items():
            setattr(self.sessions[name], attribute, value)

    def timeout(self, name, milliseconds):
        self.sessions[name].call_timeout = milliseconds

    def close(self, name):
        self.sessions.pop(name).close()


def plain(value):
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(f"no JSON for {type(value)}")


def main():
    story = json.loads(sys.argv[1])
    steps = Steps(story["connect"])
    results = []
    for verb, *arguments in story["steps"]:
        further = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
        try:
            results.append(getattr(steps, verb)(*arguments, **further))
        except oracledb.Error as error:
            (said,) = error.args
            results.append({"code": said.code, "full": said.full_code, "text": said.message})
        except KeyError as missing:
            results.append({"code": None, "full": None, "text": f"there is no session {missing}"})
    json.dump(results, sys.stdout, default=plain)


main()
