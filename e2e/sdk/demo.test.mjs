// Monite's JavaScript client and openapi-fetch read everything that the
// simulator begins with.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MoniteSDK } from "@monite/sdk-api";
import createClient from "openapi-fetch";
import { entityID, entityUserID, proxy } from "./env.mjs";

const fetchToken = async () => ({ access_token: "", token_type: "Bearer", expires_in: 1800 });
const asPartner = new MoniteSDK({ apiUrl: `${proxy}/v1`, entityId: entityID, fetchToken }).api;
const headers = { "X-Monite-Entity-User-Id": entityUserID };
const asUser = new MoniteSDK({ apiUrl: `${proxy}/v1`, entityId: entityID, fetchToken, headers }).api;

test("Monite's client reads every list and each of its items", async () => {
  let items = 0;
  const walk = async (list, get) => {
    const { data } = await list();
    assert.ok(data.length > 0);
    for (const { id } of data) {
      assert.equal((await get(id)).id, id);
      items++;
    }
    return data;
  };
  const all = undefined;
  const counterparts = await walk(() => asPartner.counterparts.getList(), (id) => asPartner.counterparts.getById(id));
  for (const { id } of counterparts) {
    await walk(() => asPartner.counterparts.getContacts(id), (item) => asPartner.counterparts.getContactById(id, item));
    await walk(() => asPartner.counterparts.getBankAccounts(id), (item) => asPartner.counterparts.getBankAccountById(id, item));
    await walk(() => asPartner.counterparts.getVats(id), (item) => asPartner.counterparts.getVatById(id, item));
    await walk(
      () => asPartner.counterpartsAddresses.getCounterpartAddresses(id),
      (item) => asPartner.counterpartsAddresses.getCounterpartAddressesById(item, id),
    );
  }
  const payables = await walk(() => asPartner.payable.getList(), (id) => asPartner.payable.getById(id));
  for (const { id } of payables) {
    await walk(() => asPartner.payableLineItems.getList(id), (item) => asPartner.payableLineItems.getById(id, item));
  }
  const receivables = await walk(() => asPartner.receivable.getAllReceivables(), (id) => asPartner.receivable.getById(id));
  for (const { id, line_items: lines, total_amount: total } of receivables) {
    assert.ok(lines[0].product.name && total > 0);
    assert.ok((await asPartner.receivable.getPdfLink(id)).file_url);
  }
  for (const name of ["bankAccounts", "paymentTerms", "products", "persons", "approvalPolicies"]) {
    await walk(() => asPartner[name].getAll({}), (id) => asPartner[name].getById(id));
  }
  await walk(() => asPartner.measureUnits.getUnits(), (id) => asPartner.measureUnits.getById(id));
  await walk(() => asPartner.entityUser.getList(), (id) => asPartner.entityUser.getById(id));
  await walk(() => asPartner.role.getList({}), (id) => asPartner.role.getDetail(id));
  assert.ok((await asPartner.tag.getList(all)).data.length > 0);
  assert.ok((await asPartner.vatRates.getAll({})).data.length > 0);
  assert.equal((await asPartner.entity.getById(entityID)).id, entityID);
  assert.ok((await asPartner.entity.getTaxIds(entityID)).data.length > 0);
  await asPartner.entity.getSettingsById(entityID);
  await asPartner.entity.getOnboardingData(entityID);
  assert.ok((await asPartner.entity.getPaymentMethods(entityID)).data.length > 0);
  assert.equal((await asUser.entityUser.getMe()).id, entityUserID);
  assert.equal((await asUser.entityUser.getMyEntity()).id, entityID);
  assert.ok((await asUser.entityUser.getMyRole()).permissions.objects.length > 0);
  console.log(`Monite's client read ${items} items`);
});

const name = process.env.MONITE_OPENAPI;

// The responses become constants of the published types, which the TypeScript
// compiler then checks.
test("openapi-fetch reads every list and item, and the types agree", { skip: name ? false : "set MONITE_OPENAPI to Monite's document" }, async () => {
  const document = JSON.parse(readFileSync(name, "utf8"));
  const client = createClient({ baseUrl: `${proxy}/v1` });
  const read = async (path, params, more) => {
    const { data, error, response } = await client.GET(path, {
      params: { ...params, header: { "x-monite-version": "2024-05-25", "x-monite-entity-id": entityID } },
      headers: more,
    });
    return { data, error, status: response.status };
  };
  const ids = async (path, params) => {
    const query = path === "/comments" ? { object_type: "payable", object_id: (await ids("/payables", {}))[0] } : {};
    if (path === "/accounting_synced_records") query.object_type = "product";
    const { data } = await read(path, { ...params, query });
    return (data?.data ?? []).map((one) => one.id).filter(Boolean);
  };
  const constants = [];
  let operations = 0;
  for (const [path, item] of Object.entries(document.paths)) {
    const ok = item.get?.responses["200"]?.content?.["application/json"]?.schema;
    if (!ok) continue;
    let targets = [{}];
    let parent = "";
    for (const segment of path.slice(1).split("/")) {
      if (segment.startsWith("{")) {
        const next = [];
        for (const params of targets) {
          const own = parent === "/entities" ? [entityID] : await ids(parent, { path: params });
          for (const id of own.slice(0, 20)) next.push({ ...params, [segment.slice(1, -1)]: id });
        }
        targets = next.slice(0, 20);
      }
      parent += `/${segment}`;
    }
    const query = {};
    for (const parameter of item.get.parameters ?? []) {
      if (parameter.in !== "query" || !parameter.required) continue;
      const reference = parameter.schema.$ref?.split("/").pop() ?? parameter.schema.allOf?.[0].$ref?.split("/").pop();
      query[parameter.name] = reference ? document.components.schemas[reference].enum[0] : "4711";
    }
    if (path === "/comments") Object.assign(query, { object_type: "payable", object_id: (await ids("/payables", {}))[0] });
    for (const params of targets) {
      const user = path.startsWith("/entity_users/m") ? headers : {};
      const { data, error, status } = await read(path, { path: params, query }, user);
      assert.equal(status, 200, `GET ${path}: ${status} ${JSON.stringify(error)}`);
      constants.push(`export const v${constants.length}: paths[${JSON.stringify(path)}]["get"]["responses"]["200"]["content"]["application/json"] = ${JSON.stringify(data)};`);
    }
    if (targets.length > 0) operations++;
  }
  const dir = mkdtempSync(join(import.meta.dirname ?? ".", "types-"));
  try {
    const bin = (command) => join("node_modules", ".bin", command);
    execFileSync(bin("openapi-typescript"), [name, "-o", join(dir, "monite.d.ts"), "--default-non-nullable", "false"], { stdio: "pipe" });
    writeFileSync(join(dir, "demo.ts"), `import type { paths } from "./monite";\n${constants.join("\n")}\n`);
    execFileSync(bin("tsc"), ["--noEmit", "--strict", "--skipLibCheck", join(dir, "demo.ts")], { stdio: "pipe", encoding: "utf8" });
  } catch (problem) {
    assert.fail(String(problem.stdout ?? problem).slice(0, 4000));
  } finally {
    rmSync(dir, { recursive: true });
  }
  console.log(`openapi-fetch read ${constants.length} responses of ${operations} operations; all have the published types`);
});
