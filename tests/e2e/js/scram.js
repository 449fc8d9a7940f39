// SPDX-License-Identifier: Apache-2.0
// scram.js URL ID: log in with SCRAM-SHA-512 as alice, and once more on the open connection.
'use strict'

const crypto = require('crypto')
const mqtt = require('mqtt')

const METHOD = 'SCRAM-SHA-512'

function fail(why) {
  console.error(why.stack || why)
  process.exit(1)
}

const hmac = (key, text) => crypto.createHmac('sha512', key).update(text).digest()

// One exchange (RFC 5802): its messages, and what the server has to prove.
function exchange(user, password) {
  const nonce = crypto.randomBytes(18).toString('base64')
  const bare = `n=${user},r=${nonce}`
  let signature
  return {
    first: Buffer.from(`n,,${bare}`),
    answer(challenge) {
      const [, both, salt, rounds] = /^r=([^,]*),s=([^,]*),i=(\d+)$/.exec(challenge)
      const key = crypto.pbkdf2Sync(password, Buffer.from(salt, 'base64'), +rounds, 64, 'sha512')
      const unproved = `c=biws,r=${both}`
      const message = `${bare},${challenge},${unproved}`
      const clientKey = hmac(key, 'Client Key')
      const mask = hmac(crypto.createHash('sha512').update(clientKey).digest(), message)
      signature = hmac(hmac(key, 'Server Key'), message).toString('base64')
      return Buffer.from(`${unproved},p=${clientKey.map((byte, i) => byte ^ mask[i])
        .toString('base64')}`)
    },
    isProved: (data) => data.toString() === `v=${signature}`,
  }
}

let current = exchange('alice', 'wonderland')
const client = mqtt.connect(process.argv[2], {
  protocolVersion: 5,
  clientId: process.argv[3],
  reconnectPeriod: 0,
  properties: { authenticationMethod: METHOD, authenticationData: current.first },
})

client.handleAuth = (packet, done) => {
  const data = packet.properties.authenticationData
  if (packet.reasonCode === 0) {
    if (!current.isProved(data)) {
      fail('the broker does not know the password')
    }
    console.log('again')
    done()
    client.removeAllListeners('close')
    client.end(false, () => process.exit(0))
    return
  }
  done(undefined, {
    cmd: 'auth',
    reasonCode: 0x18,
    properties: { authenticationMethod: METHOD, authenticationData: current.answer(String(data)) },
  })
}

client.on('connect', (connack) => {
  if (!current.isProved(connack.properties.authenticationData)) {
    fail('the broker does not know the password')
  }
  console.log('in')
  current = exchange('alice', 'wonderland')
  client._sendPacket({
    cmd: 'auth',
    reasonCode: 0x19,
    properties: { authenticationMethod: METHOD, authenticationData: current.first },
  })
})
client.on('error', fail)
client.on('close', () => fail('closed'))
