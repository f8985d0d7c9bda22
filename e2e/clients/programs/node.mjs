// usage: node.mjs BASE OPERATION LIBRARY
import {createHash} from 'node:crypto'
import http from 'node:http'
import {Readable} from 'node:stream'

const [base, operation, library] = process.argv.slice(2)
const json = {'Content-Type': 'application/json'}
const bytes = {'Content-Type': 'application/octet-stream'}

async function* slowly() {
  for (let i = 0; i < 30; i++) {
    yield Buffer.alloc(65536)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}
const requests = {
  get: ['GET', '/payables?limit=2', {}, undefined],
  post: ['POST', '/payables', json, '{"a":1}'],
  upload: ['POST', '/files', bytes, Buffer.alloc(1 << 20)],
  refused: ['POST', '/refused', bytes, slowly],
  redirect: ['GET', '/redirect', {}, undefined],
  expect: ['POST', '/payables', {...json, Expect: '100-continue'}, '{"a":1}'],
}
if (!requests[operation]) process.exit(77)
const [method, path, headers, given] = requests[operation]
const body = typeof given === 'function' ? Readable.from(given()) : given
const url = base + path

const libraries = {
  async fetch() {
    if (operation === 'expect') process.exit(77) // not supported
    const response = await fetch(url, {method, headers, body, duplex: 'half'})
    return [response.status, Buffer.from(await response.arrayBuffer())]
  },
  http() {
    return new Promise((resolve, reject) => {
      const send = to => {
        const request = http.request(to, {method, headers}, response => {
          if (response.headers.location) return response.resume(), send(new URL(response.headers.location, to))
          const parts = []
          response.on('data', part => parts.push(part)).on('error', reject)
          response.on('end', () => resolve([response.statusCode, Buffer.concat(parts)]))
        })
        request.on('error', error => reject(error))
        const write = () => body instanceof Readable ? body.pipe(request) : request.end(body)
        if (headers.Expect) request.on('continue', write).flushHeaders()
        else write()
      }
      send(url)
    })
  },
  async undici() {
    if (operation === 'redirect' || operation === 'expect') process.exit(77)
    const {request} = await import('undici')
    const response = await request(url, {method, headers, body})
    return [response.statusCode, Buffer.from(await response.body.arrayBuffer())]
  },
  async axios() {
    const {default: axios} = await import('axios')
    const response = await axios({method, url, headers, data: body, responseType: 'arraybuffer', validateStatus: () => true, maxBodyLength: Infinity, maxRedirects: body instanceof Readable ? 0 : 5})
    return [response.status, response.data]
  },
  async got() {
    const {default: got} = await import('got')
    const response = await got(url, {method, headers, body, responseType: 'buffer', throwHttpErrors: false, retry: {limit: 0}})
    return [response.statusCode, response.body]
  },
}
const [status, content] = await libraries[library]()
console.log(status, createHash('sha256').update(content).digest('hex'))
process.exit(0)
