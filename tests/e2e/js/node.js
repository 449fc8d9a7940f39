// SPDX-License-Identifier: Apache-2.0
// node.js TASK...: runs the scenario for each task (JSON), one after the other.
'use strict'

const fs = require('fs')
const mqtt = require('mqtt')
const { scenario } = require('./scenario.js')

async function main() {
  for (const text of process.argv.slice(2)) {
    const task = JSON.parse(text)
    if (task.ca) {
      task.ca = fs.readFileSync(task.ca)
    }
    console.log(JSON.stringify(await scenario(mqtt, task)))
  }
}

main().then(() => process.exit(0), (error) => {
  console.error(error.stack || error)
  process.exit(1)
})
