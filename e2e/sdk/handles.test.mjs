// Monite's own JavaScript client as its documentation has it: fetchToken asks
// POST /auth/token. The answer is a handle of the sidecar's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MoniteSDK } from "@monite/sdk-api";
import { control, counterpart, endTokens, entityID, entityUserID, proxy } from "./env.mjs";

const tokens = [];

// fetchToken is the one of the client's documentation, with placeholders for the
// credentials that the app no longer has.
function client(base, grant) {
  const apiUrl = `${base}/v1`;
  const fetchToken = async () => {
    const response = await fetch(`${apiUrl}/auth/token`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "x-monite-version": "2023-09-01" },
      body: JSON.stringify({ ...grant, client_id: "placeholder", client_secret: "placeholder" }),
    });
    const token = await response.json();
    if (!response.ok) throw Object.assign(new Error(token.error.message), { type: token.error.type });
    tokens.push(token);
    return token;
  };
  return new MoniteSDK({ apiUrl, entityId: entityID, fetchToken }).api;
}

const user = { grant_type: "entity_user", entity_user_id: entityUserID };
const partner = { grant_type: "client_credentials" };

test("act as an entity user", async () => {
  const api = client(proxy, user);
  assert.equal((await api.entityUser.getMe()).id, entityUserID);
  assert.equal((await api.entityUser.getMyEntity()).id, entityID);
});

test("act as the partner", async () => {
  const api = client(proxy, partner);
  const created = await api.counterparts.create(counterpart("Buchbinderei Kern GmbH"));
  assert.deepEqual(await api.counterparts.getById(created.id), created);
  await api.counterparts.delete(created.id);
  await assert.rejects(api.entityUser.getMe(), { status: 403 }); // the partner is nobody
});

test("act as a named identity", async () => {
  const api = client(`${proxy}/as/named`, user);
  assert.equal((await api.entityUser.getMe()).id, entityUserID);
});

test("another user than the operator allows is refused", async () => {
  const stranger = { grant_type: "entity_user", entity_user_id: "b5e1c0de-0002-4000-8000-0000000000a1" };
  for (const base of [proxy, `${proxy}/as/named`]) {
    await assert.rejects(client(base, stranger).entityUser.getMe(), { type: "proxy_entity_user_not_allowed" });
  }
  await assert.rejects(client(`${proxy}/as/named`, partner).counterparts.getList(), { type: "proxy_unknown_identity" });
});

test("tokens that end in the middle go unnoticed", async () => {
  const api = client(proxy, user);
  await api.entityUser.getMe();
  const asked = tokens.length;
  for (const how of ["revoke_all", "expire_all"]) {
    await endTokens(how);
    assert.equal((await api.entityUser.getMe()).id, entityUserID);
  }
  const { auth_rejected: rejected } = await control("GET", "stats");
  assert.ok(rejected > 0, "no token was refused: nothing was tried");
  assert.equal(tokens.length, asked, "the client noticed and asked for a token");
});

test("the client never holds a token of Monite's", () => {
  assert.ok(tokens.length >= 4);
  for (const { access_token: token, expires_in: expiresIn, token_type: type } of tokens) {
    assert.match(token, /^mph1_[A-Za-z0-9_-]+$/);
    assert.equal(expiresIn, 86400);
    assert.equal(type, "Bearer");
  }
});
