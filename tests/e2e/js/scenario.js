// SPDX-License-Identifier: Apache-2.0
// What MQTT.js does with a broker, in Node and in a browser alike. scenario(mqtt, task) gives a
// promise of the list of steps that went well; it is rejected with the first that did not.
'use strict'

const STEP_MS = 15000

function limit(promise, what) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${STEP_MS} ms`)), STEP_MS)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

function check(condition, what) {
  if (!condition) {
    throw new Error(what)
  }
}

function bytesOf(text) {
  return new TextEncoder().encode(text)
}

function textOf(bytes) {
  return new TextDecoder().decode(bytes)
}

// A client and what has come to it, in order.
function open(mqtt, task, name, more) {
  const client = mqtt.connect(task.url, {
    protocolVersion: task.version,
    protocolId: task.version === 3 ? 'MQIsdp' : 'MQTT',
    clientId: `${task.base}-${name}`.replace(/\W/g, '-').slice(-23),
    reconnectPeriod: 0,
    connectTimeout: STEP_MS,
    ca: task.ca,
    ...more,
  })
  const messages = []
  const waiting = []
  client.on('message', (topic, payload, packet) => {
    const message = { topic, payload, packet }
    if (waiting.length > 0) {
      waiting.shift()(message)
    } else {
      messages.push(message)
    }
  })
  client.next = (what) => limit(messages.length > 0 ? Promise.resolve(messages.shift())
    : new Promise((resolve) => waiting.push(resolve)), what)
  return limit(new Promise((resolve, reject) => {
    client.once('connect', (connack) => resolve([client, connack]))
    client.once('error', reject)
    client.once('close', () => reject(new Error('closed before CONNACK')))
  }), `connect ${name}`)
}

const steps = {
  async eachQos({ client, task }) {
    for (const qos of [0, 1, 2]) {
      await limit(client.publishAsync(`${task.base}/qos`, `qos ${qos}`, { qos }), `publish ${qos}`)
      const { topic, payload, packet } = await client.next(`qos ${qos}`)
      check(topic === `${task.base}/qos` && textOf(payload) === `qos ${qos}`, `not qos ${qos}`)
      check(packet.qos === qos && !packet.retain && !packet.dup, `flags of qos ${qos}`)
    }
  },

  async retained({ client, mqtt, task }) {
    const topic = `${task.base}-kept/a`
    await limit(client.publishAsync(topic, 'kept', { qos: 1, retain: true }), 'publish retained')
    const [late] = await open(mqtt, task, 'late')
    const granted = await limit(late.subscribeAsync(`${task.base}-kept/#`, { qos: 2 }), 'subscribe')
    check(granted[0].qos === 2, 'granted QoS')
    const { payload, packet } = await late.next('retained')
    check(textOf(payload) === 'kept' && packet.retain && packet.qos === 1, 'retained message')
    await limit(client.publishAsync(topic, '', { qos: 1, retain: true }), 'clear retained')
    await late.next('the clearing')
    await limit(late.endAsync(), 'end')
  },

  async oneMegabyte({ client, task }) {
    const sent = new Uint8Array(1 << 20)
    for (let i = 0; i < sent.length; i++) {
      sent[i] = (i * 7 + (i >> 8)) & 255
    }
    const payload = typeof Buffer === 'undefined' ? sent : Buffer.from(sent)
    await limit(client.publishAsync(`${task.base}/large`, payload, { qos: 1 }), 'publish large')
    const message = await client.next('large')
    check(message.payload.length === sent.length, `length ${message.payload.length}`)
    check(sent.every((byte, i) => message.payload[i] === byte), 'bytes differ')
  },

  async burst({ client, task }) {
    const sent = []
    for (let i = 0; i < 500; i++) {
      sent.push(client.publishAsync(`${task.base}/burst`, `${i}`, { qos: 1 }))
    }
    for (let i = 0; i < 500; i++) {
      const { payload } = await client.next(`burst ${i}`)
      check(textOf(payload) === `${i}`, `wanted ${i}, got ${textOf(payload)}`)
    }
    await limit(Promise.all(sent), 'acknowledgements')
  },

  async will({ client, mqtt, task }) {
    const [dying] = await open(mqtt, task, 'dying', {
      will: { topic: `${task.base}/will`, payload: bytesOf('gone'), qos: 1, retain: false },
    })
    dying.stream.destroy()
    const { topic, payload } = await client.next('will')
    check(topic === `${task.base}/will` && textOf(payload) === 'gone', 'will')
  },

  async session({ client, mqtt, task }) {
    const more = task.version === 5 ? { properties: { sessionExpiryInterval: 60 } } : {}
    const [first, fresh] = await open(mqtt, task, 'stays', { clean: false, ...more })
    check(!fresh.sessionPresent, 'a session before the first')
    await limit(first.subscribeAsync(`${task.base}-later`, { qos: 1 }), 'subscribe')
    await limit(first.endAsync(), 'end')
    await limit(client.publishAsync(`${task.base}-later`, 'waited', { qos: 1 }), 'publish')
    const [again, connack] = await open(mqtt, task, 'stays', { clean: false, ...more })
    check(connack.sessionPresent || task.version === 3, 'no session') // 3.1 does not tell
    check(textOf((await again.next('what waited')).payload) === 'waited', 'what waited')
    await limit(again.endAsync(), 'end')
  },

  async properties({ client, task }) {
    if (task.version !== 5) {
      return
    }
    const sent = {
      contentType: 'text/plain',
      responseTopic: 'answers/here',
      correlationData: typeof Buffer === 'undefined' ? bytesOf('c1') : Buffer.from('c1'),
      messageExpiryInterval: 100,
      userProperties: { a: ['1', '2'], b: '3' },
    }
    await limit(client.publishAsync(`${task.base}/props`, 'x', { qos: 1, properties: sent }), 'v5')
    const { packet } = await client.next('properties')
    const got = packet.properties
    check(got.contentType === sent.contentType && got.responseTopic === sent.responseTopic, 'text')
    check(textOf(got.correlationData) === 'c1', 'correlation data')
    check(got.messageExpiryInterval <= 100 && got.messageExpiryInterval >= 90, 'expiry')
    check(JSON.stringify(got.userProperties) === JSON.stringify(sent.userProperties), 'user')
  },

  async unsubscribe({ client, task }) {
    await limit(client.unsubscribeAsync(`${task.base}/+`), 'unsubscribe')
    await limit(client.publishAsync(`${task.base}/qos`, 'unheard', { qos: 1 }), 'publish')
    await limit(client.subscribeAsync(`${task.base}/mark`, { qos: 0 }), 'subscribe')
    await limit(client.publishAsync(`${task.base}/mark`, 'mark'), 'publish')
    check(textOf((await client.next('mark')).payload) === 'mark', 'heard after unsubscribe')
  },
}

async function scenario(mqtt, task) {
  const done = []
  const [client] = await open(mqtt, task, 'main')
  await limit(client.subscribeAsync(`${task.base}/+`, { qos: 2 }), 'subscribe')
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step({ client, mqtt, task })
    } catch (error) {
      client.end(true)
      throw new Error(`${task.url} version ${task.version}, ${name}: ${error.message || error}`)
    }
    done.push(name)
  }
  await limit(client.endAsync(), 'end')
  return done
}

if (typeof module !== 'undefined') {
  module.exports = { scenario }
}
