// Monite's own JavaScript client, with the sidecar as its API and without a
// token of its own.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { MoniteSDK } from "@monite/sdk-api";
import { control, counterpart, endTokens, entityID, entityUserID, proxy } from "./env.mjs";

// The client demands a fetchToken, calls it before its first request, and again
// whenever it believes that the token has ended. An empty access_token makes it
// send no Authorization at all.
let tokenCalls = 0;
function client({ token = "", ...headers } = {}) {
  const fetchToken = async () => {
    tokenCalls++;
    return { access_token: token, token_type: "Bearer", expires_in: 1800 };
  };
  return new MoniteSDK({ apiUrl: `${proxy}/v1`, entityId: entityID, fetchToken, headers });
}

const { api } = client();
const list = (limit, paginationToken) => api.counterparts.getList(undefined, undefined, limit, paginationToken);

test("create, read, update, list and delete a counterpart", async () => {
  const created = await api.counterparts.create(counterpart("Sattlerei Vogel GmbH"));
  assert.equal(created.organization.legal_name, "Sattlerei Vogel GmbH");
  assert.deepEqual(await api.counterparts.getById(created.id), created);

  await api.counterparts.update(created.id, { type: "organization", organization: { legal_name: "Vogel AG" } });
  assert.equal((await api.counterparts.getById(created.id)).organization.legal_name, "Vogel AG");
  assert.ok((await list(100)).data.some((one) => one.id === created.id));

  assert.equal(await api.counterparts.delete(created.id), undefined); // a 204 has no body
  await assert.rejects(api.counterparts.getById(created.id), { name: "ApiError", status: 404 });
});

test("move a payable through its life", async () => {
  const payable = await api.payable.create({ currency: "EUR", amount: 12300, document_id: "DE-2026-17", due_date: "2027-01-31" });
  assert.equal(payable.status, "draft");
  assert.equal((await api.payable.update(payable.id, { description: "Leather" })).description, "Leather");
  assert.equal((await api.payable.cancel(payable.id)).status, "canceled"); // a POST without a body
});

test("page to the end", async () => {
  const seen = [];
  let pages = 0;
  let next;
  do {
    const page = await list(1, next);
    pages++;
    seen.push(...page.data.map((one) => one.id));
    next = page.next_pagination_token;
  } while (next);
  assert.ok(pages > 2, `only ${pages} pages`);
  assert.deepEqual(seen, (await list(100)).data.map((one) => one.id));
});

test("upload a file", async () => {
  const bytes = randomBytes(1 << 20);
  const file = await api.files.create({
    file_type: "payables",
    file: new File([bytes], "rechnung-übersicht.pdf", { type: "application/pdf" }),
  });
  assert.equal(file.size, bytes.length);
  assert.equal(file.md5, createHash("md5").update(bytes).digest("hex"));
  assert.equal((await api.files.getById(file.id)).md5, file.md5);
});

test("act as an entity user", async () => {
  const user = client({ "x-monite-entity-user-id": entityUserID });
  assert.equal((await user.api.entityUser.getMe()).id, entityUserID);
  assert.equal((await user.api.entityUser.getMyEntity()).id, entityID);
  await assert.rejects(api.entityUser.getMe(), { status: 403 }); // the partner is nobody
});

test("a token of the app's own is not used", async () => {
  const { api } = client({ token: "made-up-by-the-app" });
  assert.ok((await api.counterparts.getList()).data.length > 0);
});

test("validation errors arrive as the client expects them", async () => {
  await assert.rejects(api.counterparts.create({ type: "organization" }), (error) => {
    assert.equal(error.status, 422);
    assert.ok(Array.isArray(error.body.detail));
    return true;
  });
});

for (const how of ["revoke_all", "expire_all"]) {
  test(`a token that ends in the middle (${how}) goes unnoticed`, async () => {
    const calls = tokenCalls;
    const created = await api.counterparts.create(counterpart("Before"));
    const { auth_rejected: before } = await control("GET", "stats");

    await endTokens(how);
    const answers = await Promise.all([
      api.counterparts.getById(created.id),
      api.counterparts.update(created.id, { type: "organization", organization: { legal_name: "After" } }),
      ...Array.from({ length: 10 }, () => list(5)),
      ...Array.from({ length: 10 }, (_, i) => api.counterparts.create(counterpart(`During ${i}`))),
    ]);
    assert.equal(answers.length, 22);
    await api.counterparts.delete(created.id);

    const { auth_rejected: after } = await control("GET", "stats");
    assert.ok(after > before, "no token was refused: nothing was tried");
    assert.equal(tokenCalls, calls, "the client noticed and asked for a token");
    const named = (await list(100)).data.filter((one) => one.organization?.legal_name.startsWith("During"));
    assert.equal(new Set(named.map((one) => one.organization.legal_name)).size, 10);
    assert.equal(named.length, 10, "a create was carried out twice");
    await Promise.all(named.map((one) => api.counterparts.delete(one.id)));
  });
}

test("a refusal by the sidecar is no reason for a new token", async () => {
  const calls = tokenCalls;
  const stranger = client({ "x-monite-entity-user-id": "not-a-uuid" });
  await assert.rejects(stranger.api.counterparts.getList(), { status: 400 });
  assert.equal(tokenCalls, calls + 1); // its first, before its first request
});
