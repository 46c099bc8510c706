// How a Node app publishes through `banyan-publish serve`: with fetch, or through
// its unix socket with node:http, and nothing from npm. Node 18 or later.
'use strict'

const http = require('node:http')
const { randomUUID } = require('node:crypto')
const { setTimeout: sleep } = require('node:timers/promises')

/**
 * An event that tells that something happened. Its id is made once, here: whoever
 * sends the event again sends the same id, so that consumers see through doubles.
 * @param {string} type such as "user.joined"
 * @param {string} partitionkey whose events keep their order: the id of who acts
 */
function newEvent(type, partitionkey, data, more = {}) {
  return {
    specversion: '1.0', id: randomUUID(), source: '/legacy/node', type, partitionkey,
    time: new Date().toISOString(), data, ...more,
  }
}

/**
 * A publisher to the sidecar at `url`, or behind the unix socket `socketPath`.
 * `patience` is how long one call tries, in milliseconds.
 */
function newPublisher({ url = 'http://127.0.0.1:8090/events', socketPath, patience = 30_000 } = {}) {
  const send = socketPath ? (...request) => overSocket(socketPath, ...request) : (...request) => overFetch(url, ...request)
  const tails = new Map() // by partition key, the last call, which the next one waits for

  /**
   * Publishes one event, or several in their order. Resolves to one account for
   * each, {id, kept, position}, when all are kept; rejects when that cannot be. Calls
   * for the same partition key are made one after the other.
   */
  async function publish(oneOrMore) {
    const events = [].concat(oneOrMore)
    const keys = [...new Set(events.map((e) => e.partitionkey))]
    const turn = Promise.allSettled(keys.map((key) => tails.get(key)))
    const done = turn.then(() => untilKept(events))
    for (const key of keys) tails.set(key, done)
    try {
      return await done
    } finally {
      for (const key of keys) if (tails.get(key) === done) tails.delete(key)
    }
  }

  async function untilKept(events) {
    const deadline = Date.now() + patience
    const accounts = []
    for (let attempt = 1; ; attempt++) {
      const rest = events.slice(accounts.length)
      const answer = await tried(rest)
      // What is kept up to the first that is not, is done; from there on, everything
      // is sent again, or the order would be lost.
      for (const account of answer.events ?? []) {
        if (account.kept !== 'stream' && account.kept !== 'spool') break
        accounts.push(account)
      }
      if (accounts.length === events.length) return accounts
      if (!answer.again) throw new Error(`not published (${answer.status}): ${answer.detail}`)
      const pause = (answer.retryAfter ?? 0.2) * 1000 * (0.5 + Math.random())
      if (Date.now() + pause > deadline) throw new Error(`gave up after ${attempt} attempts: ${answer.detail}`)
      await sleep(pause)
    }
  }

  // One request. Without an answer nobody knows whether the events are kept, which
  // is as good a reason to send them again as a 503.
  async function tried(events) {
    const single = events.length === 1
    const type = single ? 'application/cloudevents+json' : 'application/cloudevents-batch+json'
    try {
      const { status, retryAfter, text } = await send(type, JSON.stringify(single ? events[0] : events))
      const again = status === 503 || status === 429
      return { ...JSON.parse(text), status, again, retryAfter: Number(retryAfter) || undefined }
    } catch (error) {
      return { again: true, detail: error.cause?.message ?? error.message }
    }
  }

  return { publish }
}

async function overFetch(url, type, body) {
  const signal = AbortSignal.timeout(20_000)
  const res = await fetch(url, { method: 'POST', headers: { 'content-type': type }, body, signal })
  return { status: res.status, retryAfter: res.headers.get('retry-after'), text: await res.text() }
}

// fetch cannot use a unix socket; node:http can.
function overSocket(socketPath, type, body) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': type, 'content-length': Buffer.byteLength(body) }
    const req = http.request({ socketPath, path: '/events', method: 'POST', headers, timeout: 20_000 }, (res) => {
      let text = ''
      res.setEncoding('utf8')
      res.on('data', (chunk) => { text += chunk })
      res.on('error', reject)
      res.on('end', () => resolve({ status: res.statusCode, retryAfter: res.headers['retry-after'], text }))
    })
    req.on('timeout', () => req.destroy(new Error('no answer in time')))
    req.on('error', reject)
    req.end(body)
  })
}

module.exports = { newEvent, newPublisher }
