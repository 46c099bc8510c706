// A legacy app at work: somebody joins, follows two others and posts, and each fact
// is published. Run it beside `banyan-publish serve`:
//
//   node app.js [http://127.0.0.1:8090/events | /path/of/the/socket]
//
// It prints one line of JSON for each event that is kept.
'use strict'

const { newEvent, newPublisher } = require('./publish.js')

async function main(where) {
  const publisher = newPublisher(where?.startsWith('/') ? { socketPath: where } : { url: where })
  const now = new Date().toISOString()
  const [ada, bob, eve] = ['59b99db4cfa9a34dcd7885b6', '59b99db5cfa9a34dcd7885b7', '59b99db6cfa9a34dcd7885b8']

  // One event, as soon as its fact is in the database.
  tell(await publisher.publish(newEvent('user.joined', ada, { userId: ada, name: 'Zoë', joinedAt: now }, { subject: `user/${ada}` })))

  // Several at once, in their order.
  tell(await publisher.publish([
    newEvent('relationship.followed', ada, { followerId: ada, followeeId: bob, at: now }),
    newEvent('relationship.followed', ada, { followerId: ada, followeeId: eve, at: now }),
    newEvent('post.published', ada, { postId: 'p1', authorId: ada, text: 'hello', publishedAt: now }),
  ]))

  // Many calls without waiting between them: those of one user keep their order.
  const renames = Array.from({ length: 20 }, (_, i) =>
    publisher.publish(newEvent('user.profile-updated', ada, { userId: ada, name: `Zoë ${i}`, bio: '', version: i + 2 })))
  for (const accounts of await Promise.all(renames)) tell(accounts)

  // What cannot be an event is refused at once, and says why.
  try {
    await publisher.publish(newEvent('user.left', undefined, { userId: ada }))
  } catch (error) {
    console.error(error.message)
  }
}

function tell(accounts) {
  for (const account of accounts) console.log(JSON.stringify(account))
}

main(process.argv[2]).catch((error) => {
  console.error(error)
  process.exit(1)
})
