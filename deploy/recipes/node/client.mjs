// Node's own fetch: lists entities, creates a tag, reads it back.
const base = process.env.MONITE_BASE_URL ?? 'https://api.sandbox.monite.com/v1' // http://localhost:8080/v1
const name = process.argv[2]

async function call(method, path, body) {
  const headers = {
    'X-Monite-Entity-Id': process.env.MONITE_ENTITY,
    // Code that insists on credentials may keep them: the sidecar removes the field.
    Authorization: `Bearer ${process.env.MONITE_TOKEN ?? 'none'}`,
  }
  if (body) headers['Content-Type'] = 'application/json'
  const response = await fetch(base + path, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(70_000) })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return response.json()
}

await call('GET', '/entities?limit=1')
const tag = await call('POST', '/tags', { name })
if ((await call('GET', `/tags/${tag.id}`)).name !== name) throw new Error('read back something else')
console.log('created and read', name)
