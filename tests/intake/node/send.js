// Sends events as an app of somebody's does, and prints the uuids of all of them.
import { PostHog } from 'posthog-node'

const [host, token, count] = process.argv.slice(2)
const client = new PostHog(token, { host, flushAt: 100, fetchRetryDelay: 200 })
const failures = []
client.on('error', (error) => failures.push(String(error)))

const uuids = []
const uuid = (number) => `0190a5f0-7a2e-7c9b-8d1e-${number.toString(16).padStart(12, '0')}`
for (let number = 0; number < Number(count); number++) {
  uuids.push(uuid(number))
  client.capture({
    distinctId: `node-${number % 50}`,
    event: 'node event',
    uuid: uuid(number),
    timestamp: new Date(Date.now() - 60_000),
    properties: { number, text: 'Łódź 東京 😀', $set: { last: number } },
  })
}
client.identify({ distinctId: 'node-ada', properties: { $anon_distinct_id: 'node-0', name: 'Ada' } })
client.alias({ distinctId: 'node-ada', alias: 'node-alias' })
const flags = await client.getAllFlags('node-ada')
await client.shutdown(60_000)
console.log(JSON.stringify({ uuids, flags, failures }))
