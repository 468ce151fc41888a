"""A session of redis-py with a Redis door: port and protocol are the arguments, the password is "pw"."""

import sys
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

port, protocol = int(sys.argv[1]), int(sys.argv[2])
retry = Retry(NoBackoff(), 0)
options = {"host": "127.0.0.1", "port": port, "protocol": protocol, "password": "pw", "retry": retry}


def refused(kind, words, call):
    try:
        call()
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"not refused: {words}")


r = redis.Redis(**options, decode_responses=True, client_name="session")
assert r.ping()
r.flushall()

# The connection.
assert r.echo("hello") == "hello"
assert r.client_getname() == "session"
assert r.client_id() > 0
me = r.client_info()
assert me["lib-name"].startswith("redis-py") and me["lib-ver"] == redis.__version__, me
assert me["resp"] == str(protocol), me
assert any(client["name"] == "session" for client in r.client_list())
refused(redis.AuthenticationError, "invalid username-password", redis.Redis(**{**options, "password": "no"}).ping)
refused(redis.AuthenticationError, "Authentication required", redis.Redis(port=port, protocol=2, retry=retry).ping)
refused(redis.ResponseError, "DB index is out of range", redis.Redis(**options, db=1).ping)

# The server.
info = r.info()
assert tuple(map(int, info["redis_version"].split("."))) >= (7, 4, 0), info
assert info["arch_bits"] == 64 and info["cluster_enabled"] == 0 and info["role"] == "master", info
assert set(r.info("memory")) >= {"maxmemory", "maxmemory_policy"}
assert r.config_get("maxmemory*") == {"maxmemory": "0", "maxmemory-policy": "noeviction"}
assert r.command_count() == len(r.command()) > 25
assert r.command()["mset"]["step_count"] == 2

# Values.
assert r.set("k", "v") is True
assert r.get("k") == "v" and r.get("missing") is None
assert r.set("k", "w", nx=True) is None
assert r.set("k", "w", xx=True, get=True) == "v"
assert r.set("k", "x", ex=100) and r.ttl("k") == 100
assert r.set("k", "y", keepttl=True) and 95 <= r.ttl("k") <= 100
assert r.set("k", "z", exat=int(time.time()) + 1000) and 990 <= r.ttl("k") <= 1000
assert r.getdel("k") == "z" and r.getdel("k") is None
assert r.mset({f"key:{i}": i for i in range(100)})
assert r.mget("key:1", "missing", "key:99") == ["1", None, "99"]
binary = redis.Redis(**options)
everything = bytes(range(256)) * 4000
assert binary.set(everything[:256], everything) and binary.get(everything[:256]) == everything
assert binary.delete(everything[:256]) == 1

# Keys.
assert r.dbsize() == 100
assert r.exists("key:1", "key:1", "missing") == 2
assert r.type("key:1") == "string" and r.type("missing") == "none"
assert sorted(r.keys("key:1*")) == sorted(["key:1"] + [f"key:1{i}" for i in range(10)])
assert set(r.scan_iter(match="key:*", count=7)) == {f"key:{i}" for i in range(100)}
assert list(r.scan_iter(_type="list")) == []
assert r.delete("key:1", "key:2", "missing") == 2 and r.unlink("key:3") == 1

# Expiry.
assert r.ttl("key:4") == -1 and r.ttl("missing") == -2
assert r.expire("key:4", 100) and not r.expire("key:4", 50, gt=True) and r.expire("key:4", 50, lt=True)
assert not r.expire("key:4", 70, nx=True) and r.expire("key:4", 70, xx=True)
assert 69_000 < r.pttl("key:4") <= 70_000
assert r.persist("key:4") and r.ttl("key:4") == -1
assert r.pexpire("key:4", 50)
time.sleep(0.1)
assert r.get("key:4") is None and r.exists("key:4") == 0

# Pipelines, and errors in their midst.
replies = r.pipeline(transaction=False).set("p", 1).get("p").delete("p").get("p").execute()
assert replies == [True, "1", 1, None], replies
replies = r.pipeline(transaction=False).set("p", 1).execute_command("BOGUS").get("p").execute(raise_on_error=False)
assert replies[0] is True and replies[2] == "1" and "unknown command 'BOGUS'" in str(replies[1]), replies
refused(redis.ResponseError, "unknown command 'LPUSH'", lambda: r.lpush("l", 1))
refused(redis.ResponseError, "invalid expire time in 'set' command", lambda: r.set("k", "v", ex=-1))

assert r.flushdb(asynchronous=True) and r.dbsize() == 0
r.reset()
