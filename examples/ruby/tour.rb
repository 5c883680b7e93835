#!/usr/bin/env ruby
# frozen_string_literal: true

# tour.rb: a tour of appdb with Active Record (Rails): what docs/clients.md says of it.
#
#   ruby tour.rb APPLICATION WORKER TOKEN
#
# The first two are connection strings ("dbname=… user=…"): of a role with
# access level "app", and of one with level "service".  The token is that of a session.

require 'active_record'
require 'json'

application, worker, token = ARGV

def database(conninfo)
  options = conninfo.split.to_h { |word| word.split('=', 2) }
  # prepared_statements: false: pgbouncer in transaction mode does not know them (before 1.21)
  { adapter: 'postgresql', database: options['dbname'], username: options['user'], prepared_statements: false, advisory_locks: false }
end

# views have no keys of their own: those of the base tables hold; schemas that the extension makes are not for schema.rb
module LiveViews
  def primary_keys(table) = super.presence || super(table.sub(/\Aappdb\./, 'app_data.'))
  def indexes(table) = super.presence || super(table.sub(/\Aappdb\./, 'app_data.'))
  def schema_names = super - %w[appdb app_data]
end
require 'active_record/connection_adapters/postgresql_adapter'
ActiveRecord::ConnectionAdapters::PostgreSQLAdapter.prepend(LiveViews)

class ApplicationRecord < ActiveRecord::Base
  self.abstract_class = true
  self.table_name_prefix = 'appdb.'
  self.record_timestamps = false # they are the database's
  attr_readonly :created_at

  # A transaction of the user whose session this is.
  def self.as_user(token)
    # Rails' query cache does not know who asks: one user would be shown what another was
    uncached do
      transaction do
        connection.select_value(sanitize_sql(['SELECT appdb.authenticate(?)::text', token]))
        yield
      end
    end
  end
end

class User < ApplicationRecord; end

class Chat < ApplicationRecord
  # no dependent: what is below a row is deleted by the database
  has_many :messages, -> { order(:id) }
end

class Message < ApplicationRecord
  belongs_to :author, class_name: 'User', foreign_key: :user_id
end

class Server < ActiveRecord::Base
  self.abstract_class = true
end

ApplicationRecord.establish_connection(database(application))
Server.establish_connection(database(worker))
sql = ->(text, *values) { ApplicationRecord.connection.select_rows(ApplicationRecord.sanitize_sql([text, *values])) }

chat = ApplicationRecord.as_user(token) do
  puts "I am #{User.find_by!('id = appdb.current_user_id()').name}"
  chat = Chat.where('title LIKE ?', 'Tour%').first!
  puts "chat: #{chat.title}"
  chat.messages.includes(:author).each { |message| puts "message: #{message.content} by #{message.author.name}" }
  query = { columns: ['title'], where: { id: chat.id }, with: { messages: { columns: ['content'], limit: 1, orderBy: 'id' } } }
  tree = JSON.parse(sql.call("SELECT appdb.find('chats', ?)", query.to_json).first.first)
  puts "found: #{tree[0]['title']} #{tree[0]['messages'][0]['content']}"
  chat
end

ApplicationRecord.as_user(token) do
  before = Chat.count
  Chat.find(chat.id).destroy!
  puts "deleted: #{before - Chat.count} #{chat.title}"
  puts "messages left: #{Message.where(chat_id: chat.id).count}"
  sql.call("SELECT appdb.restore('appdb.chats', ?)", chat.id)
  puts "messages restored: #{Message.where(chat_id: chat.id).count}"
end

# the transaction is over, and with it who asked
who, count = sql.call('SELECT appdb.current_user_id(), count(*) FROM appdb.chats').first
puts "afterwards: #{who || 'None'}, #{count} chats"
begin
  ApplicationRecord.as_user('not a token') {}
rescue ActiveRecord::StatementInvalid => e
  puts "refused: #{e.cause.result.error_field(PG::PG_DIAG_SQLSTATE)}"
end

# a task: the application wants it done, a worker does it
task = ApplicationRecord.as_user(token) do
  sql.call("SELECT appdb.enqueue('tour.add', ?, queue => 'tour', user_id => appdb.current_user_id())", { a: 1, b: 2 }.to_json).first.first
end
Server.connection.select_all("SELECT id, ticket, payload FROM appdb.claim('{tour}', 'tour.rb')").each do |row|
  payload = JSON.parse(row['payload'])
  result = { sum: payload['a'] + payload['b'] }.to_json
  Server.connection.select_value(Server.sanitize_sql(['SELECT appdb.complete(?, ?, ?)', row['id'], row['ticket'], result]))
end
ApplicationRecord.as_user(token) do
  puts "task: #{sql.call("SELECT status, result ->> 'sum' FROM appdb.tasks WHERE id = ?", task).first.join(' ')}"
end

# an upsert: the conflict is by the key of the base table
ApplicationRecord.as_user(token) do
  made = Chat.insert_all!(%w[many rows].map { |title| { space_id: chat.space_id, user_id: chat.user_id, title: title } })
  again = made.rows.flatten.map { |id| { id: id, space_id: chat.space_id, user_id: chat.user_id, title: 'again' } }
  Chat.upsert_all(again, unique_by: :id)
  puts "many: #{made.length} #{Chat.where(title: 'again').delete_all}"
end

# within a request of Rails' queries are cached, but not between users
shown = ApplicationRecord.cache { [Chat.count, ApplicationRecord.as_user(token) { Chat.count }, ApplicationRecord.as_user(token) { User.count }, Chat.count] }
puts "cached: #{shown.join(' ')}"

# what schema.rb would make before the extension
puts "schemas: #{ApplicationRecord.connection.schema_names.join(' ')}"
